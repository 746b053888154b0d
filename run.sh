i=0; pids=
for m in dir fs ours cache root idle zcnet zcache zidle; do p=$((18100+i)); ./b 127.0.0.1:$p $m d & pids="$pids $!"; eval P_$m=$p; i=$((i+1)); done
sleep 1.5
for r in 1 2 3; do for m in dir cache zcache ours; do eval p=\$P_$m; c0=$(curl -s http://127.0.0.1:$p/cpu); o=$(wrk -t1 -c16 -d3s http://127.0.0.1:$p/4k.txt); c1=$(curl -s http://127.0.0.1:$p/cpu); n=$(echo "$o"|awk '/requests in/{print $1}'); echo "4k $m $(echo "$o"|awk '/Requests.sec/{print $2}') req/s $(( (c1-c0)/n )) ns CPU/req"; done; done
for r in 1 2 3; do
for m in dir fs ours zcnet root idle zidle; do eval p=\$P_$m; echo "1m $m $(./b get http://127.0.0.1:$p /1m.bin 300)"; done
for m in dir fs ours zcnet root idle zidle; do eval p=\$P_$m; echo "64m $m $(./b get http://127.0.0.1:$p /64m.bin 12)"; done
for m in dir ours zcnet; do eval p=\$P_$m; echo "multi $m $(./b get http://127.0.0.1:$p /64m.bin 8 bytes=0-33554431,33554432-67108860)"; done
done
kill $pids
