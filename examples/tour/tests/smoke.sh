# Called once per id, each in its own sandbox; the id arrives as one argument, whatever it holds.
[ $# -eq 1 ] && printf 'checked: %s\n' "$1"
