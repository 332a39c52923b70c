# Runs one process to its end, in a process group of its own, and packs what it left behind.
# Reads from its folder: settings (nonce, timeout, grace, log_limit, file_limit), argv (NUL
# between elements), results (NUL-separated pairs: path, name). Ids are data in these files;
# no line here ever holds one.
set -m
dir=$1
cd /workspace/src || exit 70
. "$dir/settings"
export PATH="$HOME/.local/bin:$PATH"
mapfile -d '' -t argv <"$dir/argv"
mapfile -d '' -t results <"$dir/results"
started=$EPOCHREALTIME
"${argv[@]}" </dev/null >"$dir/log" 2>&1 &
child=$!
{
  sleep "$timeout"
  : >"$dir/timed_out"
  kill -TERM -- "-$child"
  sleep "$grace"
  kill -KILL -- "-$child"
} </dev/null >/dev/null 2>&1 &
watchdog=$!
wait "$child"
code=$?
ended=$EPOCHREALTIME
kill -- "-$watchdog" 2>/dev/null
timed_out=0
[ -e "$dir/timed_out" ] && timed_out=1
mkdir -p "$dir/out"
names=(code log)
for ((i = 0; i + 1 < ${#results[@]}; i += 2)); do
  # Only a regular file, only its first bytes: one too long arrives cut, and is refused there.
  if [ -f "${results[i]}" ]; then
    head -c "$((file_limit + 1))" "${results[i]}" >"$dir/out/${results[i + 1]}"
    names+=("${results[i + 1]}")
  fi
done
size=$(stat -c %s "$dir/log")
if [ "$size" -gt "$log_limit" ]; then
  head -c $((log_limit / 2)) "$dir/log" >"$dir/out/log"
  printf '\n[… %s bytes left out …]\n' $((size - log_limit)) >>"$dir/out/log"
  tail -c $((log_limit / 2)) "$dir/log" >>"$dir/out/log"
else
  ln "$dir/log" "$dir/out/log"
fi
printf '%s %s %s %s %s %s\n' "$nonce" "$code" "$timed_out" "$started" "$ended" "$size" >"$dir/out/code"
tar -b1 -C "$dir/out" -cf "$dir/packed" "${names[@]}"
packed=$(stat -c %s "$dir/packed")
if [ "$packed" -le 524288 ]; then
  { printf 'glovebox inline\n'; base64 -w0 "$dir/packed"; } >"$dir/answer"
else
  printf 'glovebox file %s\n' "$packed" >"$dir/answer"
fi
mv "$dir/answer" "$dir/done"
