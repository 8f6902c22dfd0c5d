/**
 * How an ioctl number is made (asm-generic/ioctl.h: x86-64 and arm64).
 *
 * Owns: the formula, so that every number below shows its direction and the size of its structure.
 */

const NONE = 0;
const WRITE = 1;
const READ = 2;

export function io(type: number, number: number): number {
  return encode(NONE, type, number, 0);
}

export function ior(type: number, number: number, bytes: number): number {
  return encode(READ, type, number, bytes);
}

export function iowr(type: number, number: number, bytes: number): number {
  return encode(READ | WRITE, type, number, bytes);
}

function encode(direction: number, type: number, number: number, bytes: number): number {
  return ((direction << 30) | (bytes << 16) | (type << 8) | number) >>> 0;
}
