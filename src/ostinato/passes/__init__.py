"""Program -> program: rewrites, each followed by verify, and plans made of programs."""
