#!/usr/bin/env bash
# Two network namespaces with host names of their own, joined by a virtual cable: `two_machines.sh RANKS COMMAND...`
# runs `mpiexec -n RANKS COMMAND...` on both, half of the ranks on each, and prints the bytes that crossed the cable.
# Needs root and iproute2. Touches nothing but the two namespaces and the cable that it makes, and removes them.
set -euo pipefail
ranks=$1; shift
mpiexec=${MPIEXEC:-mpiexec}
tag=sn$$
folder=$(mktemp -d)
clean() { ip netns del "$tag-0" 2>/dev/null || true; ip netns del "$tag-1" 2>/dev/null || true; rm -rf "$folder"; }
trap clean EXIT

ip netns add "$tag-0"
ip netns add "$tag-1"
ip link add "$tag.0" type veth peer name "$tag.1"
for k in 0 1; do
    ip link set "$tag.$k" netns "$tag-$k"
    ip -n "$tag-$k" addr add "10.77.0.$((k + 1))/24" dev "$tag.$k"
    ip -n "$tag-$k" link set "$tag.$k" up
    ip -n "$tag-$k" link set lo up
done

# what mpiexec takes for ssh: it enters the namespace of that address, under a host name of its own
cat > "$folder/ssh" <<SSH
#!/usr/bin/env bash
while [[ \$1 == -* ]]; do shift; done
host=\$1; shift
exec ip netns exec $tag-\$((\${host##*.} - 1)) unshare --uts bash -c 'hostname machine-'\${host##*.}'; eval "\$@"' _ "\$@"
SSH
chmod +x "$folder/ssh"

# tcp,self: UCX would else find that both "machines" share their memory
export UCX_TLS=tcp,self
status=0
ip netns exec "$tag-0" unshare --uts bash -c 'hostname machine-1; exec "$@"' _ "$mpiexec" -launcher ssh -launcher-exec "$folder/ssh" -localhost 10.77.0.1 \
    -hosts 10.77.0.1,10.77.0.2 -ppn $(((ranks + 1) / 2)) -n "$ranks" "$@" || status=$?
ip netns exec "$tag-0" awk -v cable="$tag.0:" '$1 == cable { print "bytes on the wire: " $2 + $10 }' /proc/net/dev >&2
exit "$status"
