// foresee, fetch, drop: what they are for is done where weights are streamed. Here all of them are resident.
#include "cpu/machine.h"

namespace ostinato::cpu {

void run(const op::Foresee&, Machine&) {}
void run(const op::Fetch&, Machine&) {}
void run(const op::Drop&, Machine&) {}

}  // namespace ostinato::cpu
