// The sections of a packet (backends/batch_table.py), and words of records by lane.
#pragma once
#include "machine.h"

namespace ostinato::cuda {

struct Packet {
  const Header& header;
  const Span* spans;
  const Enter* enters;
  const Table* tables;
  const ostinato::Mask* masks;
  const int32_t* pool;

  OSTINATO_DEVICE explicit Packet(const Machine& m)
      : header(m.header()),
        spans(reinterpret_cast<const Span*>(&header + 1)),
        enters(reinterpret_cast<const Enter*>(spans + header.spans)),
        tables(reinterpret_cast<const Table*>(enters + header.enters)),
        masks(reinterpret_cast<const ostinato::Mask*>(tables + header.tables)),
        pool(reinterpret_cast<const int32_t*>(masks + header.masks)) {}
};

// One word of records[index]. Records consist of 32-bit words.
template <class Record, class T>
OSTINATO_DEVICE inline Lane<T> field(const Record* records, T Record::* member, const Lane<int32_t>& index) {
  return load(&(records->*member), index * static_cast<int32_t>(sizeof(Record) / sizeof(T)));
}

template <class Record, class T>
OSTINATO_DEVICE inline void set_field_where(const Mask& mask, Record* records, T Record::* member,
                                            const Lane<int32_t>& index, const Lane<T>& value) {
  store_where(mask, &(records->*member), index * static_cast<int32_t>(sizeof(Record) / sizeof(T)), value);
}

}  // namespace ostinato::cuda
