// The namespace of the AMX level's sources, which are compiled for the instructions and for emulated tiles.
#pragma once

#ifdef OSTINATO_AMX_EMULATED
#define OSTINATO_AMX amx_emulated
#else
#define OSTINATO_AMX amx
#endif
