"""Files that travel into sandboxes. They run there, on whatever is there; nothing imports them."""
