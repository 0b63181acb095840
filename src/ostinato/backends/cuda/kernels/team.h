// What holds the warps of a launch together: the block's barrier, and ordered access to single words that
// blocks and the host share (a grid barrier, rings).
//
//   Team::sync()                        the block's barrier
//   Team::leads()                       true in one thread of the block; on the host, in its first warp
//   read_relaxed                        a word that others write, without order
//   wait_while                          until a word of device memory differs; then acquires
//   write_release                       the counterpart: who sees it sees what this thread saw and wrote
//   before add_ordered                         fetches and adds; acquires and releases read_system,
//   write_system           acquire and release with the host, on words in pinned host memory fence_system
//   what was written before comes before the next write_system, of this
//                                       thread or of one that it meets in a barrier first
//   pause                               in a loop that waits for the host
//   microseconds                        a clock, wrapping
#pragma once

#ifdef __CUDACC__
#include "device_team.h"
#else
#include "host/team.h"
#endif
