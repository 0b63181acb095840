"""Models larger than memory: what moves together, what the budget allows, what is worth keeping.

    parcels     a program's experts or layers as parcels: extents of the model's files
    budget      "8GiB" or "50%" -> slots of each size, or the least that would do
    store       a plan -> native/memory's Store, which reads, keeps and evicts
    residency   all this as a backend is given it
    checksums   what reads are verified with
    coarse      copies of experts in fewer bits, from another file: what a miss may be computed from, if asked for
    statistics  what a store counted, as rates
    device      slots in a device's budget; hot: which experts lie in them, and when a move pays
    trace       what was wanted, step by step; simulate: what each policy would have hit
    profile     experts that are wanted often, for the next start
    elastic     slots that move to the caches where they hit most; division: how many each should have
    cost        latency and rate of a disk or a bus, from a few timings
    machine     what direct I/O, lockable memory and limits there are
    routing     which experts a text's tokens were sent to; heat: how unevenly, and what a store would hit

Nothing here computes. A backend gets the Store (its native part takes it as ostinato::memory::Store) and, for each
`experts` instruction, the first parcel of its ExpertStack: it wants the parcels of the experts that `group` has found,
computes those that have arrived while others are being read, and releases each as soon as it has been used. A pass that
applies the next layer's router ahead of time gives its guesses to `hint`. Dense layers are wanted two ahead, in order,
and budget.kept_layers says which never go.
"""
