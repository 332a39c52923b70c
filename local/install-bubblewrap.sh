#!/bin/sh
# Installs bubblewrap where that is allowed; otherwise says what to type.
if command -v apt-get >/dev/null; then
  install="apt-get install -y bubblewrap"
  if [ "$(id -u)" -eq 0 ]; then
    echo "installing bubblewrap ..."
    export DEBIAN_FRONTEND=noninteractive
    $install >/dev/null 2>&1 || { apt-get update >/dev/null 2>&1 && $install >/dev/null; } && exit 0
  fi
  echo "Glovebox needs bubblewrap. Type: sudo apt-get update && sudo $install" >&2
else
  echo "Glovebox needs bubblewrap. Install it with your system's packages (dnf install bubblewrap, pacman -S bubblewrap, apk add bubblewrap)." >&2
fi
exit 1
