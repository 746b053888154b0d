module github.com/zerocopy-go/zerocopy/bench

go 1.26

require (
	github.com/zerocopy-go/zerocopy v0.0.0
	golang.org/x/time v0.15.0
)

require golang.org/x/sys v0.47.0 // indirect

replace github.com/zerocopy-go/zerocopy => ../
