"""Models as programs: instructions over named values."""
