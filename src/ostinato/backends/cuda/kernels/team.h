// What holds the warps of a launch together: the block's barrier, and ordered access to single words that
// blocks and the host share (a grid barrier, rings).
//
//   Team::sync()                        the block's barrier
//   Team::leads()                       true for one thread of the block; a device's other lanes do nothing
//   there read_acquire, write_release         a word of device memory, between blocks add_ordered fetch and
//   add, both acquire and release, between blocks read_system, write_system           the same with the host,
//   on words in pinned host memory fence_system                        what this thread wrote before is seen
//   by the host before what it writes after pause                               in a loop that waits
//   microseconds                        a clock, wrapping
#pragma once

#ifdef __CUDACC__
#include "device_team.h"
#else
#include "host/team.h"
#endif
