/**
 * Lets the memory of an ivshmem device arrive where its BAR lies nowhere yet.
 *
 * With x-ignore-shared QEMU writes the guest address of every RAM block into the stream, and a QEMU that loads refuses
 * an address that is not its own ("Mismatched GPAs for block"). A BAR that the guest has placed has an address at the
 * source; at the destination it gets it from the device state, which comes later: until then its address is 0. So
 * here the address of such blocks is set to 0 on the way.
 *
 * Must hold: the list of blocks is read as QEMU writes it, to its end (migration/ram.c, ram_save_setup; savevm.c,
 * qemu_savevm_state_header; the same in 7.2 and 10.0), and nothing is handed on before it is understood; what follows
 * it is passed on untouched; so are the bytes of all other blocks. Must never: be used for a VM without such a device.
 * Numbers are big-endian. Only without the capabilities that change the list (postcopy-ram, mapped-ram), which
 * `borrowMigrationSettings` sees to.
 */
import { GodwitError } from '../base/errors.ts';
import { PAGE_SIZE } from '../base/page.ts';

interface RamBlock {
  readonly id: string;
  /** Where the stream has its address. */
  readonly addressOffset: number;
}

/** Every step says how many bytes it needs and gets them; it returns what the stream's head lists. */
type Walk<T> = Generator<number, T, Buffer>;

/** Blocks are some ten, and two for each further device with a ROM; ids have up to 255 bytes. */
const MAX_HEAD_BYTES = 2 ** 20;

/** Of migration/savevm.h and migration/ram.c. */
const QEMU_VM_FILE_MAGIC = 0x5145564d;
const QEMU_VM_FILE_VERSION = 3;
const QEMU_VM_SECTION_START = 0x01;
const QEMU_VM_SUBSECTION = 0x05;
const QEMU_VM_CONFIGURATION = 0x07;
const RAM_SECTION_VERSION = 4;
const RAM_SAVE_FLAG_MEM_SIZE = 0x04n;
const RAM_SAVE_FLAG_EOS = 0x10n;
/** Flags are in the bits that a size of whole pages leaves free. */
const FLAGS_MASK = BigInt(PAGE_SIZE - 1);

export class SharedBlockAddress {
  readonly #backends: readonly string[];
  /** undefined once the list of blocks is complete. */
  #walk: Walk<RamBlock[]> | undefined;
  /** Everything that has come until then. */
  #held: Buffer = Buffer.alloc(0);
  /** How much of it the walk has taken, and what it waits for. */
  #taken = 0;
  #wanted = 0;

  /** @param backends - QEMU's ids of the memory backends that the VM's ivshmem devices have; at least one */
  constructor(backends: readonly string[]) {
    if (backends.length === 0) throw new RangeError('A VM without shared memory has no address to clear');
    this.#backends = backends;
    this.#walk = readHead(() => this.#taken);
    this.#step(this.#walk.next());
  }

  /**
   * The part of the stream that may go on now: nothing until the list of blocks is complete, then what comes as it is.
   * Throws GW_QEMU_STATE when the stream is not as expected, or lacks one of the blocks.
   */
  push(chunk: Uint8Array): Uint8Array {
    if (this.#walk === undefined) return chunk;
    this.#held = Buffer.concat([this.#held, chunk]);
    while (this.#walk !== undefined && this.#held.length - this.#taken >= this.#wanted) {
      const bytes = this.#held.subarray(this.#taken, this.#taken + this.#wanted);
      this.#taken += this.#wanted;
      this.#step(this.#walk.next(bytes));
    }
    const ready = this.#walk === undefined ? this.#held : Buffer.alloc(0);
    if (this.#walk === undefined) this.#held = Buffer.alloc(0);
    else if (this.#held.length > MAX_HEAD_BYTES) throw unknownStream(`its head has more than ${MAX_HEAD_BYTES} bytes`);
    return ready;
  }

  /** At the end of the stream. Throws GW_QEMU_STATE when that is within the list. */
  end(): void {
    if (this.#walk !== undefined) throw unknownStream(`it ends after ${this.#held.length} bytes`);
  }

  #step(result: IteratorResult<number, RamBlock[]>): void {
    if (result.done !== true) {
      this.#wanted = result.value;
      return;
    }
    this.#walk = undefined;
    this.#clearAddresses(result.value);
  }

  #clearAddresses(blocks: readonly RamBlock[]): void {
    for (const backend of this.#backends) {
      const [block, another] = blocks.filter(({ id }) => isOf(id, backend));
      if (block === undefined) throw unknownStream(`no block of backend ${backend}`);
      if (another !== undefined) throw unknownStream(`${block.id} and ${another.id} are both of backend ${backend}`);
      this.#held.writeBigUInt64BE(0n, block.addressOffset);
    }
  }
}

/** A block has its device's path before the backend's name, such as `0000:00:04.0/shared-one`. */
function isOf(blockId: string, backend: string): boolean {
  return blockId === backend || blockId.endsWith(`/${backend}`);
}

/** @param position - how much of the stream the steps have taken so far */
function* readHead(position: () => number): Walk<RamBlock[]> {
  const head = yield 8;
  if (head.readUInt32BE(0) !== QEMU_VM_FILE_MAGIC) throw unknownStream(`it begins with ${head.toString('hex', 0, 4)}`);
  if (head.readUInt32BE(4) !== QEMU_VM_FILE_VERSION) throw unknownStream(`its version is ${head.readUInt32BE(4)}`);
  const capabilities: string[] = [];
  let kind = yield* readByte();
  if (kind === QEMU_VM_CONFIGURATION) {
    const machineTypeBytes = (yield 4).readUInt32BE();
    if (machineTypeBytes > MAX_HEAD_BYTES) throw unknownStream(`its machine type has ${machineTypeBytes} bytes`);
    yield machineTypeBytes;
    for (kind = yield* readByte(); kind === QEMU_VM_SUBSECTION; kind = yield* readByte()) {
      capabilities.push(...(yield* readSubsection()));
    }
  }
  if (!capabilities.includes('x-ignore-shared')) throw unknownStream('shared memory is not left out of it');
  if (kind !== QEMU_VM_SECTION_START) throw unknownStream(`it has a section of kind ${kind} before RAM`);
  return yield* readRamSection(position);
}

/** A part of the configuration; its fields can be read only by who knows them. Returns the capabilities in it. */
function* readSubsection(): Walk<string[]> {
  const name = yield* readName();
  yield 4; // its version
  // Target pages that are not of the machine's usual size: their bits.
  const value = (yield 4).readUInt32BE();
  if (name === 'configuration/target-page-bits') return [];
  if (name !== 'configuration/capabilities') throw unknownStream(`its configuration has the part ${name}`);
  const capabilities: string[] = [];
  for (let left = value; left > 0; left--) capabilities.push(yield* readName());
  return capabilities;
}

/** RAM comes first: nothing else is saved before the devices where the settings are ours. */
function* readRamSection(position: () => number): Walk<RamBlock[]> {
  yield 4; // the section's number
  const name = yield* readName();
  if (name !== 'ram') throw unknownStream(`it has the section ${name} before RAM`);
  yield 4; // the instance: there is one
  const version = (yield 4).readUInt32BE();
  if (version !== RAM_SECTION_VERSION) throw unknownStream(`its RAM is of version ${version}`);

  const size = (yield 8).readBigUInt64BE();
  if ((size & FLAGS_MASK) !== RAM_SAVE_FLAG_MEM_SIZE)
    throw unknownStream('its RAM does not begin with a list of blocks');
  const blocks: RamBlock[] = [];
  for (let left = size & ~FLAGS_MASK; left > 0n; ) {
    const id = yield* readName();
    const usedBytes = (yield 8).readBigUInt64BE();
    if (usedBytes > left) throw unknownStream(`its block ${id} is larger than what is left of RAM`);
    left -= usedBytes;
    blocks.push({ id, addressOffset: position() });
    yield 8; // the address
  }
  // A list with more fields than these ends elsewhere.
  if ((yield 8).readBigUInt64BE() !== RAM_SAVE_FLAG_EOS) throw unknownStream('its list of blocks has unknown fields');
  return blocks;
}

function* readByte(): Walk<number> {
  return (yield 1)[0]!;
}

/** With its length, in one byte, before it. */
function* readName(): Walk<string> {
  return (yield yield* readByte()).toString('latin1');
}

function unknownStream(what: string): GodwitError {
  const reason = `the address of its shared memory cannot be cleared in QEMU's stream: ${what}`;
  return new GodwitError('GW_QEMU_STATE', { action: 'save', reason });
}
