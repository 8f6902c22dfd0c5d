/** A state as a mark, a word and a colour: each of the three says it alone. */
import type { MigrationView } from '../../src/api/migration-schema.ts';
import type { VmState } from '../../src/api/vm-schema.ts';

export type Tone = 'good' | 'warn' | 'bad' | 'active' | 'calm';
type Mark = 'dot' | 'ring' | 'half' | 'cross' | 'arrow' | 'check' | 'square';

const MARKS: Readonly<Record<Mark, string>> = {
  dot: 'M5 1.500a3.500 3.500 0 1 0 0 7a3.500 3.500 0 1 0 0-7z',
  ring: 'M5 1a4 4 0 1 0 0 8a4 4 0 1 0 0-8zm0 1.600a2.400 2.400 0 1 1 0 4.800a2.400 2.400 0 1 1 0-4.800z',
  half: 'M2 1.500h2v7h-2zM6 1.500h2v7h-2z',
  cross: 'M2 1L5 4L8 1L9 2L6 5L9 8L8 9L5 6L2 9L1 8L4 5L1 2z',
  arrow: 'M1 4.200h4.800L3.900 2.300l1-1L8.700 5L4.900 8.700l-1-1l1.900-1.900H1z',
  check: 'M1 5.200l1-1l2 2l4-4.200l1 1L4 8.200z',
  square: 'M1.500 1.500h7v7h-7z',
};

export function Chip({
  tone,
  mark,
  children,
}: {
  tone: Tone;
  mark: Mark;
  children: React.ReactNode;
}): React.JSX.Element {
  return (
    <span className={`chip ${tone}`}>
      <svg width="10" height="10" viewBox="0 0 10 10" aria-hidden="true">
        <path d={MARKS[mark]} fill="currentColor" fillRule="evenodd" />
      </svg>
      {children}
    </span>
  );
}

/** How a state is shown: its colour, its mark, its word. */
export type Look = readonly [Tone, Mark, string];

export function LookChip({ look: [tone, mark, text] }: { look: Look }): React.JSX.Element {
  return (
    <Chip tone={tone} mark={mark}>
      {text}
    </Chip>
  );
}

const VM_LOOKS: Readonly<Record<VmState, readonly [Tone, Mark]>> = {
  running: ['good', 'dot'],
  paused: ['warn', 'half'],
  stopped: ['calm', 'square'],
  crashed: ['bad', 'cross'],
  arriving: ['active', 'arrow'],
  leaving: ['active', 'arrow'],
  unknown: ['warn', 'ring'],
};

/** The state that a text names. */
export function knownVmState(text: string): VmState {
  return Object.hasOwn(VM_LOOKS, text) ? (text as VmState) : 'unknown';
}

export function VmChip({ state }: { state: VmState }): React.JSX.Element {
  return <LookChip look={[...VM_LOOKS[state], state]} />;
}

const MIGRATION_LOOKS: Readonly<Record<MigrationView['state'], readonly [Tone, Mark]>> = {
  running: ['active', 'arrow'],
  completed: ['good', 'check'],
  failed: ['bad', 'cross'],
  cancelled: ['warn', 'square'],
  refused: ['bad', 'cross'],
};

export function MigrationChip({ state }: { state: MigrationView['state'] }): React.JSX.Element {
  return <LookChip look={[...MIGRATION_LOOKS[state], state]} />;
}
