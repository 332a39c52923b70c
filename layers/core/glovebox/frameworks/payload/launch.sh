# The command of one launch, given to `bash -c` behind lines that set:
#   slot       the process's name in this sandbox, a plain word
#   upload     the tar that holds the process's folder (and, the first time, the bundle)
#   patience   whole seconds to wait for a process that was started before; 0 starts and waits
#   timeout, grace          seconds: until TERM, and from there to KILL
#   log_limit, file_limit, answer_limit   bytes
#
# Idempotent: however often it is posted, the process starts once, and every call answers with
# the state of that one process. The folder holds argv (NUL after each element), results
# (NUL-separated pairs: path, name) and the files of the command. Ids are data in those files;
# no line here ever holds one. Every program started costs a millisecond: most of this is builtins.
cd /workspace || exit 70
umask 022
# With job control a background process has a group of its own, which outlives this command, and
# keeps its signals: without it, bash would start every test with SIGINT and SIGQUIT ignored.
set -m
dir=/workspace/.glovebox/$slot

supervise() {
  mapfile -d '' -t argv <"$dir/argv"
  mapfile -d '' -t results <"$dir/results"
  cd /workspace/src
  PATH="$HOME/.local/bin:$PATH" timeout -k "$grace" "$timeout" "${argv[@]}" \
    </dev/null >"$dir/log" 2>&1 &
  local began=$EPOCHREALTIME
  wait $!
  local code=$? ended=$EPOCHREALTIME timed_out=0
  # `timeout` ends with 124, or 137 where it had to kill: a process may end with these by itself,
  # but then its time was not over.
  if [ "$code" -eq 124 ] || [ "$code" -eq 137 ]; then
    local lasted=$((${ended/[.,]/} - ${began/[.,]/}))
    [ "$lasted" -ge $((timeout * 1000000)) ] && timed_out=1
  fi
  local paths=("$dir/log") names=(log) i
  for ((i = 0; i + 1 < ${#results[@]}; i += 2)); do
    # Only regular files: a pipe in a report's place would hold everything up.
    if [ -f "${results[i]}" ]; then
      paths+=("${results[i]}")
      names+=("${results[i + 1]}")
    fi
  done
  local sizes
  mapfile -t sizes < <(stat -L -c %s -- "${paths[@]}")
  local log_bytes=${sizes[0]} total=0 listed=
  if [ "$log_bytes" -gt "$log_limit" ]; then
    {
      head -c $((log_limit / 2)) "$dir/log"
      printf '\n[… %s bytes left out …]\n' $((log_bytes - log_limit))
      tail -c $((log_limit / 2)) "$dir/log"
    } >"$dir/log.cut"
    paths[0]=$dir/log.cut
    sizes[0]=$(stat -c %s "$dir/log.cut")
  fi
  for i in "${!paths[@]}"; do
    # A result that is too long is told by its size and left where it is.
    if [ "${sizes[i]}" -gt "$file_limit" ]; then
      paths[i]=/dev/null
      names[i]="!${names[i]}"
      sizes[i]=0
    fi
    total=$((total + sizes[i]))
    listed+=" ${names[i]}:${sizes[i]}"
  done
  local facts="$nonce $code $timed_out $began $ended $log_bytes$listed"
  if [ "$total" -le "$answer_limit" ]; then
    { printf 'glovebox inline %s\n' "$facts"; cat -- "${paths[@]}" | base64 -w0; } >"$dir/answer"
  else
    cat -- "${paths[@]}" >"$dir/packed"
    printf 'glovebox file %s\n' "$facts" >"$dir/answer"
  fi
  : >"$dir/done"
}

if mkdir ".glovebox-$slot" 2>/dev/null; then
  if tar --no-same-owner -xif "$upload" 2>".glovebox-$slot/unpack" && cd src; then
    cd ..
    [ -d home ] || mkdir home
    supervise </dev/null >/dev/null 2>&1 &
    [ "$patience" -gt 0 ] || wait $!
    # The next process in this sandbox has its own upload; this one only takes up memory.
    rm -f "$upload"
  else
    printf 'glovebox broken '
    head -c 2000 ".glovebox-$slot/unpack"
    exit 0
  fi
fi
waited=0
while [ ! -e "$dir/done" ] && [ "$waited" -lt $((patience * 5)) ]; do
  sleep 0.2
  waited=$((waited + 1))
done
if [ -e "$dir/done" ]; then
  cat "$dir/answer"
else
  printf 'glovebox running\n'
fi
