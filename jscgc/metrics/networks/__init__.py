"""Published networks that metrics look through; each is loaded once in a process and device."""
