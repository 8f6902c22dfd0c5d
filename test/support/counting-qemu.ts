/**
 * A QEMU whose guest counts: for tests of what may not disturb it.
 *
 * Owns: the process, its RAM file, and a 64 KiB firmware of six instructions that increments the 16-bit word at
 * guest address 0x1000 for ever. QMP is spoken over standard input and output.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { RamFile } from '../../src/linux/ram-file.ts';
import { SHARED_MEMORY_PREFIX } from './temp-directory.ts';

const FIRMWARE_BYTES = 65_536;
const COUNTER_ADDRESS = 0x1000;
// xor ax, ax; mov ds, ax; loop: inc word [0x1000]; jmp loop
const CODE = Buffer.from('31c08ed8ff060010ebfa', 'hex');
// At the reset vector: ljmp 0xf000:0
const RESET = Buffer.from('ea000000f0', 'hex');

export class CountingQemu implements AsyncDisposable {
  readonly pid: number;
  readonly bytes: number;
  readonly ram: RamFile;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #directory: string;
  readonly #lines: AsyncIterator<string>;

  private constructor(
    child: ChildProcessWithoutNullStreams,
    directory: string,
    bytes: number,
    lines: AsyncIterator<string>,
  ) {
    this.#child = child;
    this.#directory = directory;
    this.#lines = lines;
    this.pid = child.pid!;
    this.bytes = bytes;
    this.ram = RamFile.open(join(directory, 'ram'), bytes);
  }

  static async start(mebibytes: number, ...extraArguments: string[]): Promise<CountingQemu> {
    const directory = mkdtempSync(SHARED_MEMORY_PREFIX);
    const firmware = Buffer.alloc(FIRMWARE_BYTES);
    CODE.copy(firmware, 0);
    RESET.copy(firmware, 0xfff0);
    writeFileSync(join(directory, 'firmware'), firmware);
    const backend = `memory-backend-file,id=ram,mem-path=${join(directory, 'ram')},share=on,size=${mebibytes}M`;
    const machine = ['-accel', 'tcg', '-M', 'pc,memory-backend=ram', '-m', String(mebibytes), '-object', backend];
    const quiet = ['-nodefaults', '-display', 'none', '-qmp', 'stdio', '-bios', join(directory, 'firmware')];
    const child = spawn('qemu-system-x86_64', [...machine, ...quiet, ...extraArguments]);
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    await lines.next(); // the greeting
    const qemu = new CountingQemu(child, directory, mebibytes * 2 ** 20, lines);
    await qemu.execute('qmp_capabilities');
    return qemu;
  }

  /** Where QEMU has mapped the guest's RAM. */
  get start(): bigint {
    const line = readFileSync(`/proc/${this.pid}/maps`, 'utf8')
      .split('\n')
      .find((mapping) => mapping.includes(this.#directory))!;
    return BigInt(`0x${line.slice(0, line.indexOf('-'))}`);
  }

  async execute(command: string): Promise<unknown> {
    this.#child.stdin.write(JSON.stringify({ execute: command }));
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done) throw new Error('QEMU has ended');
      const answer = JSON.parse(value) as { return?: unknown; event?: string };
      if (answer.event === undefined) return answer.return;
    }
  }

  /** What the guest has counted to, modulo 65536. */
  count(): number {
    const word = Buffer.alloc(2);
    this.ram.read(COUNTER_ADDRESS, word);
    return word.readUInt16LE(0);
  }

  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exit = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exit;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    this.ram[Symbol.dispose]();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
