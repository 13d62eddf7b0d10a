// Random numbers that are the same in each run, for a window's Math.random and crypto.

// Standalone, so that a browser can be given its source.
export function controlRandom(window, seed) {
  let state = seed;
  // mulberry32: 32 bits at a time.
  const random = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
  const getRandomValues = (array) => {
    for (let place = 0; place < array.length; place++) array[place] = random();
    return array;
  };
  const randomUUID = () => {
    const hex = Array.from({ length: 4 }, () => random().toString(16).padStart(8, "0")).join("");
    const variant = "89ab"[parseInt(hex[16], 16) % 4];
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20)}`;
  };
  window.Math.random = () => random() / 2 ** 32;
  Object.defineProperty(window, "crypto", { value: { getRandomValues, randomUUID }, configurable: true });
  return random;
}
