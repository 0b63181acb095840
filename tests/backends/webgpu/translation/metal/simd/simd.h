// Part of what Metal takes for granted; see metal_stdlib.
