# The command of one launch, given to `bash -c` behind three lines that set `slot` (a plain
# word), `upload` (a path) and `patience` (whole seconds to wait for a process that is
# already there). Idempotent: however often it is posted, the process starts once, and every
# call answers with the state of that one process.
cd /workspace || exit 70
umask 022
# With job control a background process has a group of its own, which outlives this command, and
# keeps its signals: without it, bash would start every test with SIGINT and SIGQUIT ignored.
set -m
dir=/workspace/.glovebox/$slot
lock=/workspace/.glovebox-$slot
if mkdir "$lock" 2>/dev/null; then
  mkdir -p src home
  if tar --no-same-owner -xzif "$upload" 2>"$lock/unpack"; then
    rm -f "$upload"
    bash "$dir/supervise.sh" "$dir" </dev/null >/dev/null 2>&1 &
    [ "$patience" -gt 0 ] || wait $!
  else
    printf 'glovebox broken '
    head -c 2000 "$lock/unpack"
    exit 0
  fi
fi
waited=0
while [ ! -e "$dir/done" ] && [ "$waited" -lt $((patience * 5)) ]; do
  sleep 0.2
  waited=$((waited + 1))
done
if [ -e "$dir/done" ]; then
  cat "$dir/done"
else
  printf 'glovebox running\n'
fi
