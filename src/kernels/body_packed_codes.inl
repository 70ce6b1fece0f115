// Codes of a chunk of panels (tensor/packed.h): a reader per kind of plane.
//
//   kTop      the largest code that step() gives
//   kLines    of a chunk
//   kOthers   registers that step() needs beside its result, or that gcc 12 takes with it
//   step<s>(chunk, table) the codes of kLanes rows in step s, as bytes; `chunk` is at the rows'
//             first word in the first line
//   at(chunk, s, table)   the same of a step that is known only at run time

// No load before it is used again after it: better loaded twice than kept in memory on the stack.
PHIAL_INLINE void load_again() { __asm__ volatile("" : : : "memory"); }

struct Bits2 {
  static constexpr int kTop = 3, kOthers = 4, kLines = 2;
  template <int s>
  PHIAL_INLINE Words step(const uint8_t* chunk, ByteTable) {
    return byte_field<s % 4 * 2, 3>(load_words(chunk + s / 4 * kLineBytes));
  }
  PHIAL_INLINE Words at(const uint8_t* chunk, int s, ByteTable) {
    return byte_field<0, 3>(bytes_from(load_words(chunk + s / 4 * kLineBytes), s % 4 * 2));
  }
};
struct Bits3 {
  static constexpr int kTop = 7, kOthers = 4, kLines = 3;
  template <int s>
  PHIAL_INLINE Words step(const uint8_t* chunk, ByteTable table) {
    return or_field<s, 1, 2>(Bits2::step<s>(chunk, table), load_words(chunk + 2 * kLineBytes));
  }
  PHIAL_INLINE Words at(const uint8_t* chunk, int s, ByteTable table) {
    return or_field<0, 1, 2>(Bits2::at(chunk, s, table),
                             bytes_from(load_words(chunk + 2 * kLineBytes), s));
  }
};
struct Bits4 {
  static constexpr int kTop = 15, kOthers = 2, kLines = 4;
  template <int s>
  PHIAL_INLINE Words step(const uint8_t* chunk, ByteTable) {
    return byte_field<s / 4 * 4, 15>(load_words(chunk + s % 4 * kLineBytes));
  }
  PHIAL_INLINE Words at(const uint8_t* chunk, int s, ByteTable) {
    return byte_field<0, 15>(bytes_from(load_words(chunk + s % 4 * kLineBytes), s / 4 * 4));
  }
};
struct Bits5 {
  static constexpr int kTop = 31, kOthers = 4, kLines = 5;
  template <int s>
  PHIAL_INLINE Words step(const uint8_t* chunk, ByteTable table) {
    return or_field<s, 1, 4>(Bits4::step<s>(chunk, table), load_words(chunk + 4 * kLineBytes));
  }
  PHIAL_INLINE Words at(const uint8_t* chunk, int s, ByteTable table) {
    return or_field<0, 1, 4>(Bits4::at(chunk, s, table),
                             bytes_from(load_words(chunk + 4 * kLineBytes), s));
  }
};
struct Bits6 {
  static constexpr int kTop = 63, kOthers = 4, kLines = 6;
  template <int s>
  PHIAL_INLINE Words step(const uint8_t* chunk, ByteTable table) {
    return or_field<s % 4 * 2, 3, 4>(Bits4::step<s>(chunk, table),
                                     load_words(chunk + (4 + s / 4) * kLineBytes));
  }
  PHIAL_INLINE Words at(const uint8_t* chunk, int s, ByteTable table) {
    return or_field<0, 3, 4>(Bits4::at(chunk, s, table),
                             bytes_from(load_words(chunk + (4 + s / 4) * kLineBytes), s % 4 * 2));
  }
};
struct Bits8 {
  static constexpr int kTop = 255, kOthers = 1, kLines = 8;
  template <int s>
  PHIAL_INLINE Words step(const uint8_t* chunk, ByteTable) {
    return load_words(chunk + s * kLineBytes);
  }
  PHIAL_INLINE Words at(const uint8_t* chunk, int s, ByteTable) {
    return load_words(chunk + s * kLineBytes);
  }
};
// Places in a table, whose numbers come with `bias` added.
template <int top>
struct BookCodes {
  static constexpr int kTop = top, kOthers = 3, kLines = 4;
  template <int s>
  PHIAL_INLINE Words step(const uint8_t* chunk, ByteTable table) {
    return look_up(table, Bits4::step<s>(chunk, table));
  }
  PHIAL_INLINE Words at(const uint8_t* chunk, int s, ByteTable table) {
    return look_up(table, Bits4::at(chunk, s, table));
  }
};
using BookIq4 = BookCodes<255>;
constexpr int kMxfp4Bias = 16;
using BookMxfp4 = BookCodes<kMxfp4Bias + 12>;

// The table of a book with `bias` added, and what its codes have to be lessened by to be levels.
struct Table {
  uint8_t bytes[16] = {};
};
constexpr Table table_of(const int8_t (&levels)[16], int bias) {
  Table table;
  for (int i = 0; i < 16; ++i) table.bytes[i] = static_cast<uint8_t>(levels[i] + bias);
  return table;
}
constexpr Table kIq4Table = table_of(kIq4Levels, 128);
constexpr Table kMxfp4Table = table_of(kMxfp4Levels, kMxfp4Bias);

PHIAL_INLINE ByteTable table_of_book(PackedBook book) {
  return load_table(book == PackedBook::mxfp4 ? kMxfp4Table.bytes : kIq4Table.bytes);
}
PHIAL_INLINE int32_t zero_of_codes(const PackedLayout& layout) {
  if (layout.book == PackedBook::iq4) return 128;
  return layout.book == PackedBook::mxfp4 ? kMxfp4Bias : layout.zero;
}

// Which readers have kernels for groups of 16 columns (packed_layout()).
template <class Codes>
constexpr bool kCanHalve = false;
template <>
constexpr bool kCanHalve<Bits2> = true;
template <>
constexpr bool kCanHalve<Bits3> = true;
template <>
constexpr bool kCanHalve<Bits4> = true;
template <>
constexpr bool kCanHalve<Bits6> = true;

// A number for the compiler.
template <int n>
struct Number {
  static constexpr int value = n;
};

// Calls visit(reader) with the reader of the layout's codes.
template <class Visit>
PHIAL_INLINE void with_codes(const PackedLayout& layout, const Visit& visit) {
  if (layout.book == PackedBook::iq4) return visit(BookIq4{});
  if (layout.book == PackedBook::mxfp4) return visit(BookMxfp4{});
  switch (layout.codes) {
    case PackedCodes::bits2:
      return visit(Bits2{});
    case PackedCodes::bits3:
      return visit(Bits3{});
    case PackedCodes::bits4:
      return visit(Bits4{});
    case PackedCodes::bits5:
      return visit(Bits5{});
    case PackedCodes::bits6:
      return visit(Bits6{});
    case PackedCodes::bits8:
      return visit(Bits8{});
    case PackedCodes::bf16:
    case PackedCodes::f16:
      return;
  }
}
