/* The UUIDs of rows: MD5 (RFC 1321) over their texts, joined by a separator.
 *
 * MD5 is a chain of steps, each of which waits for the one before. So several rows are digested in turn, one in each
 * lane of a vector: the compiler makes instructions of whole vectors where the processor has some. Memory comes from
 * the caller; nothing is read outside of its buffers.
 */
#include "views.h"

enum { LANES = 8, BLOCK = 64, UUID = 36 };

typedef uint32_t lanes __attribute__((vector_size(4 * LANES)));

/* The message of a row, of which some blocks were taken already. */
typedef struct {
  const uint8_t *at;
  uint32_t left;
  int64_t row;
  int32_t column;
  uint64_t length;
  int is_ended, is_done;
} message;

/* Begin with a column of the row; 0 where its text is nowhere. */
static int open_column(message *of, const block *columns, int32_t column) {
  const view *text = &columns[column].rows[of->row];
  of->column = column;
  of->left = text->length;
  of->at = start_of(text, &columns[column]);
  return of->at != 0;
}

/* The next 64 bytes of a message, with its padding; 0 where a text is nowhere. */
static int next_block(message *of, const block *columns, int32_t count, uint8_t separator, uint8_t *to) {
  int size = 0;
  while (size < BLOCK && !of->is_ended) {
    if (of->left) {
      uint32_t room = (uint32_t)(BLOCK - size), taken = of->left < room ? of->left : room;
      memcpy(to + size, of->at, taken);
      of->at += taken;
      of->left -= taken;
      of->length += taken;
      size += (int)taken;
    } else if (of->column + 1 < count) {
      if (!open_column(of, columns, of->column + 1)) return 0;
      to[size++] = separator;
      of->length++;
    } else {
      to[size++] = 0x80;
      of->is_ended = 1;
    }
  }
  memset(to + size, 0, (size_t)(BLOCK - size));
  if (of->is_ended && size <= BLOCK - 8) {
    for (int byte = 0; byte < 8; byte++) to[BLOCK - 8 + byte] = (uint8_t)(of->length * 8 >> 8 * byte);
    of->is_done = 1;
  }
  return 1;
}

static uint32_t word_of(const uint8_t *at) {
  return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static const uint32_t SINES[64] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
};

#define STEP(mix, a, b, c, d, word, number, shift)         \
  a += (mix) + words[word] + SINES[number];                \
  a = b + (a << (shift) | a >> (32 - (shift)))
#define FOUR(mix_of, first, from, by, s0, s1, s2, s3)                                             \
  for (int at = 0; at < 16; at += 4) {                                                            \
    STEP(mix_of(b, c, d), a, b, c, d, ((from) + (by) * at) & 15, (first) + at, s0);                \
    STEP(mix_of(a, b, c), d, a, b, c, ((from) + (by) * (at + 1)) & 15, (first) + at + 1, s1);      \
    STEP(mix_of(d, a, b), c, d, a, b, ((from) + (by) * (at + 2)) & 15, (first) + at + 2, s2);      \
    STEP(mix_of(c, d, a), b, c, d, a, ((from) + (by) * (at + 3)) & 15, (first) + at + 3, s3);      \
  }
#define F(x, y, z) (((x) & (y)) | (~(x) & (z)))
#define G(x, y, z) (((x) & (z)) | ((y) & ~(z)))
#define H(x, y, z) ((x) ^ (y) ^ (z))
#define I(x, y, z) ((y) ^ ((x) | ~(z)))

/* Digest a block of each lane; the state of a lane whose mask is zero stays. */
static void digest(lanes state[4], const lanes words[16], const lanes *mask) {
  lanes a = state[0], b = state[1], c = state[2], d = state[3];
  FOUR(F, 0, 0, 1, 7, 12, 17, 22)
  FOUR(G, 16, 1, 5, 5, 9, 14, 20)
  FOUR(H, 32, 5, 3, 4, 11, 16, 23)
  FOUR(I, 48, 0, 7, 6, 10, 15, 21)
  state[0] += a & *mask;
  state[1] += b & *mask;
  state[2] += c & *mask;
  state[3] += d & *mask;
}

static void write_uuid(const lanes state[4], int lane, uint8_t *to) {
  static const char DIGITS[] = "0123456789abcdef";
  for (int byte = 0; byte < 16; byte++) {
    uint8_t value = (uint8_t)(state[byte / 4][lane] >> 8 * (byte % 4));
    if (byte == 4 || byte == 6 || byte == 8 || byte == 10) *to++ = '-';
    *to++ = (uint8_t)DIGITS[value >> 4];
    *to++ = (uint8_t)DIGITS[value & 15];
  }
}

/* The UUIDs of the rows from `first` on, of which there are at most LANES; 0 where a text is nowhere. */
static int uuids_from(const block *columns, int32_t count, uint8_t separator, int64_t first, int size, uint8_t *to) {
  message messages[LANES];
  for (int lane = 0; lane < size; lane++) {
    messages[lane] = (message){.row = first + lane};
    if (!open_column(&messages[lane], columns, 0)) return 0;
  }
  lanes state[4] = {(lanes){0} + 0x67452301u, (lanes){0} + 0xefcdab89u, (lanes){0} + 0x98badcfeu,
                    (lanes){0} + 0x10325476u};
  for (int are_done = 0; !are_done;) {
    lanes words[16] = {{0}}, mask = {0};
    are_done = 1;
    for (int lane = 0; lane < size; lane++) {
      uint8_t bytes[BLOCK];
      if (messages[lane].is_done) continue;
      if (!next_block(&messages[lane], columns, count, separator, bytes)) return 0;
      for (int word = 0; word < 16; word++) words[word][lane] = word_of(bytes + 4 * word);
      mask[lane] = 0xffffffffu;
      are_done &= messages[lane].is_done;
    }
    digest(state, words, &mask);
  }
  for (int lane = 0; lane < size; lane++) write_uuid(state, lane, to + UUID * lane);
  return 1;
}

/* Write the UUID of each row, and a view of it in buffer 0; returns 0 where a text is nowhere.
 *
 * columns  one or more, of equal height, without nulls
 * texts    36 bytes for each row, less than 4 GiB
 */
int32_t write_uuids(const block *columns, int32_t count, uint8_t separator, uint8_t *texts, view *views) {
  int64_t height = columns->height;
  for (int64_t row = 0; row < height; row += LANES) {
    int size = height - row < LANES ? (int)(height - row) : LANES;
    if (!uuids_from(columns, count, separator, row, size, texts + UUID * row)) return 0;
  }
  for (int64_t row = 0; row < height; row++)
    views[row] = view_of(texts + UUID * row, UUID, 0, (uint32_t)(UUID * row));
  return 1;
}
