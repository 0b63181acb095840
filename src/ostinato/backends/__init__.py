"""Program -> numbers: the machines that run programs, behind one contract."""
