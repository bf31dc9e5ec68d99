"""Where description sets meet clips: scored, searched, compared. The command line alone knows both too."""
