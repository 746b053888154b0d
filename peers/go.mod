module github.com/zerocopy-go/zerocopy/peers

go 1.26.0

replace github.com/zerocopy-go/zerocopy => ../

require github.com/zerocopy-go/zerocopy v0.0.0

require (
	golang.org/x/net v0.62.0
	golang.org/x/sys v0.49.0 // indirect
)
