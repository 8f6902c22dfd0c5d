/** Which systems run under which workload and link, and which of the numbers are shown. */
import { GIGABIT, type Link, SLOW, UNSHAPED } from './network.ts';
import { COMPUTING, DATA, IDLE, NON_CONVERGING, RANDOM, WORDS, type Workload } from './workloads.ts';

export interface Scenario {
  /** Such as `data@1gbit`. */
  readonly name: string;
  readonly workload: Workload;
  readonly link: Link;
  /** Names of systems; all by default. */
  readonly systems?: readonly string[];
}

/** Pre-copy without throttle never ends with this workload: one of QEMU's is enough to show it. */
const ENDING = ['qemu-auto-converge', 'qemu-post-copy', 'godwit-pre-copy', 'godwit-post-copy', 'godwit-auto'];

/** What packing costs where it cannot save anything. */
const UNPACKED = ['qemu-pre-copy', 'godwit-raw', 'godwit-pre-copy'];

export const SCENARIOS: readonly Scenario[] = [
  { name: 'data@1gbit', workload: DATA, link: GIGABIT },
  { name: 'data@unshaped', workload: DATA, link: UNSHAPED },
  { name: 'non-converging@1gbit', workload: NON_CONVERGING, link: GIGABIT, systems: ENDING },
  { name: 'computing@unshaped', workload: COMPUTING, link: UNSHAPED, systems: ['qemu-pre-copy', 'godwit-pre-copy'] },
  { name: 'data@200mbit', workload: DATA, link: SLOW },
  { name: 'words@1gbit', workload: WORDS, link: GIGABIT },
  { name: 'words@200mbit', workload: WORDS, link: SLOW },
  { name: 'idle@1gbit', workload: IDLE, link: GIGABIT },
  { name: 'idle@200mbit', workload: IDLE, link: SLOW },
  { name: 'idle@unshaped', workload: IDLE, link: UNSHAPED },
  { name: 'random@1gbit', workload: RANDOM, link: GIGABIT, systems: UNPACKED },
  { name: 'random@unshaped', workload: RANDOM, link: UNSHAPED, systems: UNPACKED },
];
