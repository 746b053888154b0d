package ztest
import ("testing";"fmt";"time";"slices";"net")
var _ net.Conn
func TestX(t *testing.T){
 for _,n:=range []int{0,65536,1<<20+1}{
 content:=Pattern(1).Bytes(n)
 for _,k:=range []Kind{TCP4,TCP6,MPTCP}{ for _,v:=range []string{"","big"}{
   var ds []time.Duration
   for range 100 { start:=time.Now(); s:=NewDest(t,k)
   if v=="big" { s.Writer.(*net.TCPConn).SetWriteBuffer(4<<20); s.far.(*net.TCPConn).SetReadBuffer(4<<20)}
 s.Writer.Write(content); s.Finish(); s.Close(); ds=append(ds,time.Since(start)) }
   slices.Sort(ds); fmt.Println("dst",k,v,n,ds[0],ds[50],ds[90],ds[99])
 }}}
}
