/** States of evacuations and of VMs in them, as a mark, a word and a colour. */
import type { EvacuatedVmView, EvacuationView } from '../../src/api/evacuation-schema.ts';
import { Chip } from '../parts/state-chip.tsx';

type ChipLook = readonly [React.ComponentProps<typeof Chip>['tone'], React.ComponentProps<typeof Chip>['mark'], string];

const EVACUATIONS: Readonly<Record<EvacuationView['state'], ChipLook>> = {
  waiting: ['calm', 'ring', 'waiting'],
  running: ['active', 'arrow', 'running'],
  completed: ['good', 'check', 'completed'],
  incomplete: ['warn', 'half', 'some stayed'],
  cancelled: ['warn', 'square', 'cancelled'],
  failed: ['bad', 'cross', 'failed'],
};

const VMS: Readonly<Record<EvacuatedVmView['state'], ChipLook>> = {
  waiting: ['calm', 'ring', 'waiting'],
  running: ['active', 'arrow', 'on its way'],
  arrived: ['good', 'check', 'arrived'],
  failed: ['warn', 'cross', 'failed, tried again'],
  parked: ['bad', 'half', 'given up'],
  stayed: ['warn', 'square', 'stayed'],
  left: ['warn', 'arrow', 'left on its way'],
};

export function EvacuationChip({ evacuation }: { evacuation: EvacuationView }): React.JSX.Element {
  const [tone, mark, text] = EVACUATIONS[evacuation.state];
  const isCancelling = evacuation.isCancelling && evacuation.endedAtMs === null;
  return (
    <Chip tone={isCancelling ? 'warn' : tone} mark={mark}>
      {isCancelling ? 'being cancelled' : text}
    </Chip>
  );
}

export function EvacuatedVmChip({ state }: { state: EvacuatedVmView['state'] }): React.JSX.Element {
  const [tone, mark, text] = VMS[state];
  return (
    <Chip tone={tone} mark={mark}>
      {text}
    </Chip>
  );
}
