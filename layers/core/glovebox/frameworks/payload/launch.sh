# The command of one launch, given to `bash -c` behind lines that set:
#   slot       the process's name in this sandbox, a plain word
#   upload     the tar that holds the process's folder (and, the first time, the bundle)
#   patience   whole seconds to wait for a process that was started before; 0 starts and waits
#   timeout, grace          seconds: until TERM, and from there to KILL
#   log_limit, file_limit, answer_limit   bytes
#   discard    1 to remove the upload once it is unpacked
#   encode     1 to answer in base64: for results that need not be text
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
  # The log comes last: what a process prints need not be text, and must not shift the others.
  local paths=() names=() i
  for ((i = 0; i + 1 < ${#results[@]}; i += 2)); do
    # Only regular files: a pipe in a report's place would hold everything up.
    local path=${results[i]}
    [ "${path:0:1}" = / ] || path=/workspace/src/$path
    if [ -f "$path" ]; then
      paths+=("$path")
      names+=("${results[i + 1]}")
    fi
  done
  # The process may have put anything in the place of our own files, to be written into or waited
  # for. Nothing is started here unless it did.
  local log=$dir/log name
  [ -f "$log" ] || log=/dev/null
  for name in log.cut packed answer bodies done; do
    if [ -e "$dir/$name" ] || [ -L "$dir/$name" ]; then rm -rf -- "${dir:?}/$name"; fi
  done
  paths+=("$log")
  names+=(log)
  local sizes last=$((${#paths[@]} - 1))
  mapfile -t sizes < <(stat -L -c %s -- "${paths[@]}")
  local log_bytes=${sizes[last]} total=0 listed=
  if [ "$log_bytes" -gt "$log_limit" ]; then
    # Makes room on a disk that the log has filled; where there is no such program, it has to do.
    fallocate -p -o $((log_limit / 2)) -l $((log_bytes - log_limit)) "$log"
    {
      head -c $((log_limit / 2)) "$log"
      printf '\n[… %s bytes left out …]\n' $((log_bytes - log_limit))
      tail -c $((log_limit / 2)) "$log"
    } >"$dir/log.cut"
    paths[last]=$dir/log.cut
    sizes[last]=$(stat -c %s "$dir/log.cut")
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
  local kind=inline facts="$nonce $code $timed_out $began $ended $log_bytes$listed"
  if [ "$total" -gt "$answer_limit" ]; then
    cat -- "${paths[@]}" >"$dir/packed"
    kind=$(sha256sum <"$dir/packed")
    kind=file:${kind%% *} paths=()
  fi
  # On a disk that is full, our upload is what can be spared.
  printf 'glovebox %s %s\n' "$kind" "$facts" >"$dir/answer" || {
    rm -f "$upload"
    printf 'glovebox %s %s\n' "$kind" "$facts" >"$dir/answer"
  }
  printf '%s\0' "${paths[@]}" >"$dir/bodies"
  : >"$dir/done"
}

# Created or refused in one step, like a folder, and without starting a program.
set -C
if { : >".glovebox-$slot"; } 2>/dev/null; then
  set +C
  if tar --no-same-owner -xif "$upload" 2>"$upload.error" && [ -d src ]; then
    supervise </dev/null >/dev/null 2>&1 &
    if [ "$patience" -eq 0 ]; then
      wait $!
      if [ ! -e "$dir/done" ]; then
        printf 'glovebox broken the process took its own folder or its supervisor away\n'
        exit 0
      fi
    fi
    # The next process in this sandbox has its own upload; a long one only takes up memory.
    [ "$discard" -eq 0 ] || rm -f "$upload"
  else
    printf 'glovebox broken '
    head -c 2000 "$upload.error"
    exit 0
  fi
fi
waited=0
while [ ! -e "$dir/done" ] && [ "$waited" -lt $((patience * 5)) ]; do
  sleep 0.2
  waited=$((waited + 1))
done
if [ ! -e "$dir/done" ]; then
  printf 'glovebox running\n'
  exit 0
fi
mapfile -d '' -t bodies <"$dir/bodies"
if [ "$encode" -eq 0 ]; then
  exec cat -- "$dir/answer" "${bodies[@]}"
fi
cat -- "$dir/answer"
[ -z "${bodies[*]}" ] || cat -- "${bodies[@]}" | base64 -w0
