/**
 * The table of docs/phases.md that says who has the VM when something dies, as cases of a test.
 *
 * Owns: reading it, and which of its cells there are in which mode. Must hold: the document is what is tested, so that a cell
 * that it does not have is none here either.
 */
import { readFileSync } from 'node:fs';
import type { MigrationMode } from '../../src/migration/request.ts';

export const VICTIMS = [
  'source daemon',
  'destination daemon',
  'source QEMU',
  'destination QEMU',
  "source's thread",
  "destination's thread",
  'link',
] as const;
export type Victim = (typeof VICTIMS)[number];

/** The source's. */
export const DEATH_PHASES = ['preparing', 'copying', 'stopping', 'committed', 'serving', 'released'] as const;
export type DeathPhase = (typeof DEATH_PHASES)[number];

/** `gone`: its user's loss, as without a migration. `kept`: nobody runs it, and a person takes it back at the source. */
export type Fate = 'source' | 'destination' | 'gone' | 'kept' | 'lost';

export interface Death {
  readonly victim: Victim;
  readonly phase: DeathPhase;
  readonly mode: MigrationMode;
  readonly fate: Fate;
}

const MODES = ['pre-copy', 'post-copy', 'hybrid'] as const satisfies readonly MigrationMode[];
const TABLE = /^### Who has the VM when something dies$([\s\S]*?)^## /m;
const FATES: readonly (readonly [RegExp, Fate])[] = [
  // The QEMU that runs the VM has ended, and the VM was nobody else's.
  [/ended by itself/, 'gone'],
  [/^S\b/, 'source'],
  [/^D\b/, 'destination'],
  [/^nobody runs it/, 'kept'],
  [/^lost/, 'lost'],
];

export function killMatrix(): Death[] {
  const text = readFileSync(new URL('../../docs/phases.md', import.meta.url), 'utf8');
  const rows = (TABLE.exec(text)?.[1] ?? '').split('\n').map((line) => line.split('|').map((cell) => cell.trim()));
  return VICTIMS.flatMap((victim) => {
    const cells = rows.find(([, name]) => name === victim);
    if (!cells) throw new Error(`docs/phases.md does not say what happens when this dies: ${victim}`);
    return DEATH_PHASES.flatMap((phase, index) => {
      const fate = fateOf(victim, phase, cells[index + 2] ?? '');
      return MODES.filter((mode) => isThere(victim, phase, mode)).map((mode) => ({ victim, phase, mode, fate }));
    });
  });
}

function fateOf(victim: Victim, phase: DeathPhase, cell: string): Fate {
  const fate = FATES.find(([pattern]) => pattern.test(cell))?.[1];
  if (fate === undefined) throw new Error(`docs/phases.md says of ${victim}, ${phase}: ${cell}`);
  return fate;
}

function isThere(victim: Victim, phase: DeathPhase, mode: MigrationMode): boolean {
  if (phase === 'copying') return mode !== 'post-copy';
  if (phase === 'serving') return mode !== 'pre-copy';
  // It has been ended by then.
  return !(phase === 'released' && victim === 'source QEMU');
}
