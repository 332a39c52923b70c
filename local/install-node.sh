#!/bin/sh
# Installs Node.js and npm for the tests where that is allowed; otherwise says what to type.
if command -v apt-get >/dev/null; then
  install="apt-get install -y --no-install-recommends nodejs npm"
  if [ "$(id -u)" -eq 0 ]; then
    echo "installing Node.js ..."
    export DEBIAN_FRONTEND=noninteractive
    $install >/dev/null 2>&1 || { apt-get update >/dev/null 2>&1 && $install >/dev/null; } && exit 0
  fi
  echo "The tests of the JavaScript SDK need Node.js 18.15 or later. Type: sudo apt-get update && sudo $install" >&2
else
  echo "The tests of the JavaScript SDK need Node.js 18.15 or later and npm. Install them with your system's packages." >&2
fi
exit 1
