// FarmHash's Fingerprint64 of a byte array, as an unsigned BigInt.
// (Pike and Alakuijala, https://github.com/google/farmhash, farmhashna.)

"use strict";

const farmhash = (() => {
  const MASK = (1n << 64n) - 1n;
  const K0 = 0xc3a5c85c97cb3127n;
  const K1 = 0xb492b66fbe98f273n;
  const K2 = 0x9ae16a3b2f90404fn;

  const wrap = (x) => x & MASK;
  const rotate = (x, shift) =>
    wrap((x >> shift) | (x << (64n - shift)));
  const shiftMix = (x) => x ^ (x >> 47n);

  function hash16(u, v, mul) {
    let a = wrap((u ^ v) * mul);
    a ^= a >> 47n;
    let b = wrap((v ^ a) * mul);
    b ^= b >> 47n;
    return wrap(b * mul);
  }

  function upTo16(length, at64, at32, bytes) {
    const mul = wrap(K2 + BigInt(length) * 2n);
    if (length >= 8) {
      const a = wrap(at64(0) + K2);
      const b = at64(length - 8);
      const c = wrap(rotate(b, 37n) * mul + a);
      const d = wrap((rotate(a, 25n) + b) * mul);
      return hash16(c, d, mul);
    }
    if (length >= 4) {
      const a = at32(0);
      return hash16(
        wrap(BigInt(length) + (a << 3n)), at32(length - 4), mul);
    }
    if (length > 0) {
      const a = bytes[0], b = bytes[length >> 1], c = bytes[length - 1];
      const y = BigInt(a + (b << 8)), z = BigInt(length + (c << 2));
      return wrap(shiftMix(wrap(y * K2) ^ wrap(z * K0)) * K2);
    }
    return K2;
  }

  function upTo32(length, at64) {
    const mul = wrap(K2 + BigInt(length) * 2n);
    const a = wrap(at64(0) * K1);
    const b = at64(8);
    const c = wrap(at64(length - 8) * mul);
    const d = wrap(at64(length - 16) * K2);
    return hash16(
      wrap(rotate(wrap(a + b), 43n) + rotate(c, 30n) + d),
      wrap(a + rotate(wrap(b + K2), 18n) + c), mul);
  }

  function upTo64(length, at64) {
    const mul = wrap(K2 + BigInt(length) * 2n);
    const a = wrap(at64(0) * K2);
    const b = at64(8);
    const c = wrap(at64(length - 8) * mul);
    const d = wrap(at64(length - 16) * K2);
    const y = wrap(rotate(wrap(a + b), 43n) + rotate(c, 30n) + d);
    const z = hash16(y, wrap(a + rotate(wrap(b + K2), 18n) + c), mul);
    const e = wrap(at64(16) * mul);
    const f = at64(24);
    const g = wrap((y + at64(length - 32)) * mul);
    const h = wrap((z + at64(length - 24)) * mul);
    return hash16(
      wrap(rotate(wrap(e + f), 43n) + rotate(g, 30n) + h),
      wrap(e + rotate(wrap(f + a), 18n) + g), mul);
  }

  // Mixes 32 bytes from `start` into two seeds.
  function weak32(at64, start, a, b) {
    const [w, x, y, z] = [0, 8, 16, 24].map((i) => at64(start + i));
    a = wrap(a + w);
    b = rotate(wrap(b + a + z), 21n);
    const c = a;
    a = wrap(a + x + y);
    b = wrap(b + rotate(a, 44n));
    return [wrap(a + z), wrap(b + c)];
  }

  function longer(length, at64) {
    let x = wrap(81n * K2 + at64(0));
    let y = wrap(81n * K1 + 113n);
    let z = wrap(shiftMix(wrap(y * K2 + 113n)) * K2);
    let v = [0n, 0n], w = [0n, 0n];
    const end = ((length - 1) >> 6) << 6;
    for (let s = 0; s < end; s += 64) {
      x = wrap(rotate(wrap(x + y + v[0] + at64(s + 8)), 37n) * K1);
      y = wrap(rotate(wrap(y + v[1] + at64(s + 48)), 42n) * K1);
      x ^= w[1];
      y = wrap(y + v[0] + at64(s + 40));
      z = wrap(rotate(wrap(z + w[0]), 33n) * K1);
      v = weak32(at64, s, wrap(v[1] * K1), wrap(x + w[0]));
      w = weak32(at64, s + 32, wrap(z + w[1]), wrap(y + at64(s + 16)));
      [z, x] = [x, z];
    }
    const mul = wrap(K1 + ((z & 0xffn) << 1n));
    const s = length - 64;
    w[0] = wrap(w[0] + BigInt((length - 1) & 63));
    v[0] = wrap(v[0] + w[0]);
    w[0] = wrap(w[0] + v[0]);
    x = wrap(rotate(wrap(x + y + v[0] + at64(s + 8)), 37n) * mul);
    y = wrap(rotate(wrap(y + v[1] + at64(s + 48)), 42n) * mul);
    x ^= wrap(w[1] * 9n);
    y = wrap(y + v[0] * 9n + at64(s + 40));
    z = wrap(rotate(wrap(z + w[0]), 33n) * mul);
    v = weak32(at64, s, wrap(v[1] * mul), wrap(x + w[0]));
    w = weak32(at64, s + 32, wrap(z + w[1]), wrap(y + at64(s + 16)));
    [z, x] = [x, z];
    return hash16(
      wrap(hash16(v[0], w[0], mul) + wrap(shiftMix(y) * K0) + z),
      wrap(hash16(v[1], w[1], mul) + x), mul);
  }

  function fingerprint64(bytes) {
    const view = new DataView(
      bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const at64 = (i) => view.getBigUint64(i, true);
    const at32 = (i) => BigInt(view.getUint32(i, true));
    const length = bytes.length;
    if (length <= 16) return upTo16(length, at64, at32, bytes);
    if (length <= 32) return upTo32(length, at64);
    if (length <= 64) return upTo64(length, at64);
    return longer(length, at64);
  }

  return { fingerprint64 };
})();

if (typeof module !== "undefined") module.exports = farmhash;
