/**
 * What this machine can do for migrations: the answers that `godwit doctor` prints.
 *
 * Owns: the order of the questions, and how an answer looks. Must hold: every question is tried, on a sample process
 * where one is needed, never concluded from a version; a "no" says why and what would turn it into a "yes"; asking
 * changes nothing that lasts.
 */
import { explain } from '../base/errors.ts';
import { MACHINE_QUESTIONS } from './probe-machine.ts';
import { askAboutProcesses } from './probe-process.ts';
import { available as isXxhashAvailable } from './xxhash.ts';

/** What a "no" rules out; `optional` costs speed or convenience only. */
export type ProbeNeed = 'always' | 'post-copy' | 'throttle' | 'kvm' | 'optional';

export interface Probe {
  readonly id: string;
  readonly title: string;
  readonly ok: boolean;
  /** What was found, where there is more to say than yes. */
  readonly value?: string;
  /** Of a "no". */
  readonly reason?: string;
  /** Of a "no": what to do about it. */
  readonly fix?: string;
  readonly needed: ProbeNeed;
}

export interface Question {
  readonly id: string;
  readonly title: string;
  readonly needed: ProbeNeed;
  readonly fix: string;
  /** What was found, or nothing; throws for a "no". */
  ask(): string | undefined | Promise<string | undefined>;
}

export interface QemuAnswer {
  readonly version: string;
  readonly machines: readonly string[];
  readonly accels: readonly string[];
}

export interface ProbeOptions {
  /** Paths, or names looked up in PATH. */
  readonly qemuBinaries: readonly string[];
  /** Asks a binary; throws when it is missing or unfit. */
  readonly askQemu: (binary: string) => Promise<QemuAnswer>;
}

/** Every probe, in the order in which they are worth reading. Takes about a second. */
export async function runProbes(options: ProbeOptions): Promise<Probe[]> {
  const probes = await askAboutProcesses(answer);
  for (const question of [
    ...MACHINE_QUESTIONS,
    XXHASH,
    ...options.qemuBinaries.map((name) => aboutQemu(name, options)),
  ]) {
    probes.push(await answer(question));
  }
  return probes;
}

async function answer(question: Question): Promise<Probe> {
  const { id, title, needed, fix } = question;
  try {
    const value = await question.ask();
    return value === undefined ? { id, title, ok: true, needed } : { id, title, ok: true, value, needed };
  } catch (error) {
    return { id, title, ok: false, reason: explain(error), fix, needed };
  }
}

const XXHASH: Question = {
  id: 'xxhash',
  title: 'Fast page hashing (libxxhash)',
  needed: 'optional',
  fix: 'Install libxxhash: apt install libxxhash0. Without it SHA-256 is used, at a fifth of the speed',
  ask() {
    if (!isXxhashAvailable()) throw new Error('libxxhash.so.0 cannot be loaded');
    return undefined;
  },
};

function aboutQemu(binary: string, options: ProbeOptions): Question {
  return {
    id: `qemu:${binary}`,
    title: `QEMU (${binary})`,
    needed: 'always',
    fix: 'Install QEMU: apt install qemu-system-x86. Or name another binary in the spec of the VM',
    async ask() {
      const { version, machines, accels } = await options.askQemu(binary);
      const forPc = machines.filter((name) => /^pc-(q35|i440fx)-/.test(name)).length;
      return `version ${version}, ${machines.length} machine types (${forPc} of pc), accelerators ${accels.join(', ')}`;
    },
  };
}
