module github.com/zerocopy-go/zerocopy/integration

go 1.26

replace github.com/zerocopy-go/zerocopy => ../

require (
	github.com/vishvananda/netlink v1.3.1
	github.com/zerocopy-go/zerocopy v0.0.0
	golang.org/x/sys v0.47.0
)

require github.com/vishvananda/netns v0.0.5 // indirect
