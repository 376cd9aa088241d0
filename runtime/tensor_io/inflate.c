/* Raw deflate data (RFC 1951), unpacked.
 *
 * Codes of up to FAST_BITS bits are looked up in a table by the next bits of the input; longer ones are
 * walked bit by bit through the canonical code: the codes of one length are consecutive numbers, in the order
 * of their symbols. */
#include "runtime/tensor_io/tensor_io_impl.h"

#include <string.h>

enum { FAST_BITS = 10, MAX_BITS = 15, SYMBOLS = 288, DISTANCES = 30, END_OF_BLOCK = 256 };

struct code {
    uint16_t fast[1 << FAST_BITS]; /* symbol << 4 | length; 0: a longer code, or none */
    uint16_t count[MAX_BITS + 1];  /* codes of each length */
    uint16_t symbols[SYMBOLS];     /* by length, then by symbol */
};

struct stream {
    const uint8_t *at, *end;
    uint64_t bits;
    int bit_count;
    bool short_of_input;
    uint8_t *out;
    size_t out_at, out_count;
    struct code literals, distances;
};

static void fill(struct stream *stream) {
    while (stream->bit_count <= 56 && stream->at < stream->end) {
        stream->bits |= (uint64_t)*stream->at++ << stream->bit_count;
        stream->bit_count += 8;
    }
}

static uint32_t take(struct stream *stream, int count) {
    if (stream->bit_count < count) fill(stream);
    if (stream->bit_count < count) {
        stream->short_of_input = true;
        return 0;
    }
    uint32_t value = (uint32_t)(stream->bits & (((uint64_t)1 << count) - 1));
    stream->bits >>= count;
    stream->bit_count -= count;
    return value;
}

static uint32_t reversed(uint32_t code, int length) {
    uint32_t result = 0;
    for (int i = 0; i < length; i++) result |= (code >> i & 1) << (length - 1 - i);
    return result;
}

/* False if the lengths are those of no code. An incomplete code is one: its missing words do not occur. */
static bool make_code(struct code *code, const uint8_t *lengths, int count) {
    uint16_t first[MAX_BITS + 2] = {0}, next[MAX_BITS + 2] = {0};
    int room = 1;
    memset(code, 0, sizeof *code);
    for (int i = 0; i < count; i++) code->count[lengths[i]]++;
    code->count[0] = 0;
    for (int length = 1; length <= MAX_BITS; length++) {
        room = 2 * room - code->count[length];
        if (room < 0) return false;
        first[length + 1] = (uint16_t)(first[length] + code->count[length]);
        next[length + 1] = (uint16_t)((next[length] + code->count[length]) << 1);
    }
    for (int i = 0; i < count; i++) {
        int length = lengths[i];
        if (length == 0) continue;
        code->symbols[first[length]++] = (uint16_t)i;
        uint32_t word = reversed(next[length]++, length);
        if (length > FAST_BITS) continue;
        for (; word < 1 << FAST_BITS; word += 1u << length) code->fast[word] = (uint16_t)(i << 4 | length);
    }
    return true;
}

/* The next symbol, or -1. */
static int decode(struct stream *stream, const struct code *code) {
    if (stream->bit_count < MAX_BITS) fill(stream);
    uint16_t entry = code->fast[stream->bits & ((1 << FAST_BITS) - 1)];
    if (entry && (entry & 15) <= stream->bit_count) {
        stream->bits >>= entry & 15;
        stream->bit_count -= entry & 15;
        return entry >> 4;
    }
    int word = 0, first = 0, index = 0;
    for (int length = 1; length <= MAX_BITS; length++) {
        word |= (int)take(stream, 1);
        if (stream->short_of_input) return -1;
        int count = code->count[length];
        if (word - first < count) return code->symbols[index + word - first];
        index += count;
        first = (first + count) << 1;
        word <<= 1;
    }
    return -1;
}

static bool copy_stored(struct stream *stream) {
    (void)take(stream, stream->bit_count & 7);
    uint32_t length = take(stream, 16), complement = take(stream, 16);
    if (stream->short_of_input || length != (complement ^ 0xffff)) return false;
    if (length > stream->out_count - stream->out_at) return false;
    for (; length && stream->bit_count; length--) stream->out[stream->out_at++] = (uint8_t)take(stream, 8);
    if (length > (size_t)(stream->end - stream->at)) return false;
    if (length) memcpy(stream->out + stream->out_at, stream->at, length);
    stream->out_at += length;
    stream->at += length;
    return true;
}

static bool read_codes(struct stream *stream) {
    static const uint8_t order[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    uint8_t lengths[SYMBOLS + 32] = {0};
    int literals = (int)take(stream, 5) + 257, distances = (int)take(stream, 5) + 1,
        count = (int)take(stream, 4) + 4;
    if (literals > 286 || distances > DISTANCES) return false;
    for (int i = 0; i < count; i++) lengths[order[i]] = (uint8_t)take(stream, 3);
    if (stream->short_of_input || !make_code(&stream->literals, lengths, 19)) return false;
    memset(lengths, 0, sizeof lengths);
    for (int i = 0; i < literals + distances;) {
        int symbol = decode(stream, &stream->literals), repeat = 1;
        uint8_t length = (uint8_t)symbol;
        if (symbol < 0) return false;
        if (symbol == 16) {
            if (i == 0) return false;
            length = lengths[i - 1];
            repeat = 3 + (int)take(stream, 2);
        } else if (symbol >= 17) {
            length = 0;
            repeat = symbol == 17 ? 3 + (int)take(stream, 3) : 11 + (int)take(stream, 7);
        }
        if (stream->short_of_input || repeat > literals + distances - i) return false;
        while (repeat--) lengths[i++] = length;
    }
    return lengths[END_OF_BLOCK] != 0 && make_code(&stream->literals, lengths, literals) &&
           make_code(&stream->distances, lengths + literals, distances);
}

static void use_fixed_codes(struct stream *stream) {
    uint8_t lengths[SYMBOLS];
    for (int i = 0; i < SYMBOLS; i++) lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
    (void)make_code(&stream->literals, lengths, SYMBOLS);
    memset(lengths, 5, DISTANCES);
    (void)make_code(&stream->distances, lengths, DISTANCES);
}

static bool inflate_block(struct stream *stream) {
    static const uint16_t length_base[29] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                             31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
    static const uint8_t length_bits[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                            2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
    for (;;) {
        int symbol = decode(stream, &stream->literals);
        if (symbol < 0) return false;
        if (symbol == END_OF_BLOCK) return true;
        if (symbol < END_OF_BLOCK) {
            if (stream->out_at == stream->out_count) return false;
            stream->out[stream->out_at++] = (uint8_t)symbol;
            continue;
        }
        symbol -= END_OF_BLOCK + 1;
        if (symbol >= 29) return false;
        size_t length = length_base[symbol] + take(stream, length_bits[symbol]);
        int code = decode(stream, &stream->distances);
        if (code < 0 || code >= DISTANCES) return false;
        /* Distance codes come in pairs, each pair with one more extra bit: 1 2 3 4 5-6 7-8 9-12 … */
        int bits = code < 2 ? 0 : code / 2 - 1;
        size_t base = code < 2 ? (size_t)code + 1 : ((size_t)(2 + code % 2) << bits) + 1;
        size_t distance = base + take(stream, bits);
        if (stream->short_of_input || distance > stream->out_at ||
            length > stream->out_count - stream->out_at) {
            return false;
        }
        for (; length; length--, stream->out_at++)
            stream->out[stream->out_at] = stream->out[stream->out_at - distance];
    }
}

bool kt_inflate(const uint8_t *bytes, size_t count, uint8_t *out, size_t out_count) {
    struct stream stream = {.at = bytes, .end = bytes + count, .out = out, .out_count = out_count};
    for (bool last = false; !last;) {
        last = take(&stream, 1);
        uint32_t kind = take(&stream, 2);
        if (stream.short_of_input || kind == 3) return false;
        if (kind == 0) {
            if (!copy_stored(&stream)) return false;
            continue;
        }
        if (kind == 1) use_fixed_codes(&stream);
        if (kind == 2 && !read_codes(&stream)) return false;
        if (!inflate_block(&stream)) return false;
    }
    return stream.out_at == out_count;
}
