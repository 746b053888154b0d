module github.com/zerocopy-go/zerocopy/contrib/zcecho

go 1.26.0

require (
	github.com/labstack/echo/v5 v5.4.4
	github.com/zerocopy-go/zerocopy v0.0.0
)

require (
	golang.org/x/sys v0.47.0 // indirect
	golang.org/x/time v0.15.0 // indirect
)

replace github.com/zerocopy-go/zerocopy => ../..
