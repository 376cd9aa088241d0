/* Weights as pictures, as Keras's TensorBoard callback shows them, in PNG files (ISO 15948).
 *
 * Axes of one element are left out. Then a vector is a column; a matrix lies so that it is wider than high;
 * of three axes the last counts pictures; of four the first does, and the last, of 3 or 4, is colours. What
 * is left shows nothing. 0 is black and 1 is white, as TensorFlow rounds it; no more than the first three
 * pictures are written.
 *
 * A file of pixels of bytes is a signature and three chunks, each of a big-endian length, a name, contents,
 * and the CRC-32 of name and contents:
 *
 *   IHDR  u32 width   u32 height   bits a sample   kind of colours   deflate   filters   not interlaced
 *   IDAT  rows, each behind the number of its filter, 0 for none: a zlib stream (RFC 1950) of stored blocks
 *   IEND */
#include "runtime/train/callbacks.h"
#include "runtime/zip.h"

#include <stdlib.h>
#include <string.h>

enum { SHOWN = 3, PNG_FRAME = 64, BLOCK = 65535, BLOCK_HEAD = 5 };

/* ---- PNG ------------------------------------------------------------------------------------- */
static uint8_t *put_big(uint8_t *at, uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) *at++ = (uint8_t)(value >> shift);
    return at;
}

static uint8_t *begin_chunk(uint8_t *at, const char *name, size_t bytes) {
    at = put_big(at, (uint32_t)bytes);
    memcpy(at, name, 4);
    return at + 4;
}

static uint8_t *end_chunk(uint8_t *at, size_t bytes) {
    return put_big(at, kt_crc32(0, at - bytes - 4, bytes + 4));
}

static size_t row_bytes(const kt_pictures *pictures) {
    return (size_t)(pictures->width * pictures->channels);
}

/* Of the zlib stream's head, blocks and checksum. */
static size_t stream_bytes(const kt_pictures *pictures) {
    const size_t filtered = (size_t)pictures->height * (row_bytes(pictures) + 1);
    return 2 + filtered + (filtered + BLOCK - 1) / BLOCK * BLOCK_HEAD + 4;
}

static uint8_t *put_stream(uint8_t *at, const kt_pictures *pictures, const uint8_t *pixels) {
    const size_t row = row_bytes(pictures) + 1;
    const uint32_t modulus = 65521;
    size_t left = (size_t)pictures->height * row, in_block = 0;
    uint32_t sum = 1, sums = 0; /* Adler-32 */
    *at++ = 0x78;
    *at++ = 0x01;
    for (int64_t y = 0; y < pictures->height; y++) {
        for (size_t x = 0; x < row; x++, in_block--) {
            if (in_block == 0) {
                in_block = left < BLOCK ? left : BLOCK;
                left -= in_block;
                *at++ = left == 0;
                for (int part = 0; part < 4; part++)
                    *at++ = (uint8_t)((part < 2 ? in_block : ~in_block) >> (8 * (part % 2)));
            }
            *at = x ? *pixels++ : 0;
            sum = (sum + *at++) % modulus;
            sums = (sums + sum) % modulus;
        }
    }
    return put_big(at, sums << 16 | sum);
}

size_t kt_picture_room(const kt_pictures *pictures) { return PNG_FRAME + stream_bytes(pictures); }

size_t kt_picture_write(const kt_pictures *pictures, int64_t index, uint8_t *out_file) {
    static const uint8_t signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
    static const uint8_t kinds[] = {[1] = 0, [3] = 2, [4] = 6}; /* grey, colours, and how solid they are */
    const size_t stream = stream_bytes(pictures);
    const uint8_t rest[] = {8, kinds[pictures->channels], 0, 0, 0};
    uint8_t *at = out_file;
    memcpy(at, signature, sizeof signature);
    at = begin_chunk(at + sizeof signature, "IHDR", 8 + sizeof rest);
    at = put_big(put_big(at, (uint32_t)pictures->width), (uint32_t)pictures->height);
    memcpy(at, rest, sizeof rest);
    at = end_chunk(at + sizeof rest, 8 + sizeof rest);
    at = begin_chunk(at, "IDAT", stream);
    at =
        put_stream(at, pictures, pictures->pixels + (size_t)(index * pictures->height) * row_bytes(pictures));
    at = end_chunk(at, stream);
    at = end_chunk(begin_chunk(at, "IEND", 0), 0);
    return (size_t)(at - out_file);
}

/* ---- weights --------------------------------------------------------------------------------- */
bool kt_pictures_lay_out(const kt_buffer *weight, kt_pictures *out_pictures) {
    int64_t d[KT_MAX_RANK];
    int rank = 0;
    for (int axis = 0; axis < weight->rank; axis++)
        if (weight->dims[axis] != 1) d[rank++] = weight->dims[axis];
    switch (rank) {
    case 1: *out_pictures = (kt_pictures){1, d[0], 1, 1, .apart = {0, 1, 0, 0}}; break;
    case 2: {
        const bool turned = d[0] > d[1];
        *out_pictures =
            (kt_pictures){1, d[turned], d[!turned], 1, .apart = {0, turned ? 1 : d[1], turned ? d[1] : 1, 0}};
        break;
    }
    case 3: *out_pictures = (kt_pictures){d[2], d[0], d[1], 1, .apart = {1, d[1] * d[2], d[2], 0}}; break;
    case 4:
        if (d[3] != 3 && d[3] != 4) return false;
        *out_pictures =
            (kt_pictures){d[0], d[1], d[2], d[3], .apart = {d[1] * d[2] * d[3], d[2] * d[3], d[3], 1}};
        break;
    default: return false;
    }
    if (out_pictures->count > SHOWN) out_pictures->count = SHOWN;
    return out_pictures->count * out_pictures->height * out_pictures->width > 0;
}

int kt_pictures_draw(const kt_buffer *weight, kt_pictures *pictures) {
    const int64_t *apart = pictures->apart;
    uint8_t *at = malloc((size_t)(pictures->count * pictures->height) * row_bytes(pictures));
    pictures->pixels = at;
    for (int64_t n = 0; at && n < pictures->count; n++)
        for (int64_t y = 0; y < pictures->height; y++)
            for (int64_t x = 0; x < pictures->width; x++)
                for (int64_t c = 0; c < pictures->channels; c++) {
                    const int64_t place = n * apart[0] + y * apart[1] + x * apart[2] + c * apart[3];
                    const float value = ((const float *)weight->data)[place] * 255.5F;
                    *at++ = value > 0 ? value < 255 ? (uint8_t)value : 255 : 0; /* NaN is black */
                }
    return pictures->pixels == NULL;
}
