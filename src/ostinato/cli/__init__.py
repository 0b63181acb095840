"""The command line. One small module per command, imported only when that command is called."""
