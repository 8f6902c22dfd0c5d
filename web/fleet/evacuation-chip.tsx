/** States of evacuations and of VMs in them, as a mark, a word and a colour. */
import type { EvacuatedVmView, EvacuationView } from '../../src/api/evacuation-schema.ts';
import { type Look, LookChip } from '../parts/state-chip.tsx';

const EVACUATIONS: Readonly<Record<EvacuationView['state'], Look>> = {
  waiting: ['calm', 'ring', 'waiting'],
  running: ['active', 'arrow', 'running'],
  completed: ['good', 'check', 'completed'],
  incomplete: ['warn', 'half', 'some stayed'],
  cancelled: ['warn', 'square', 'cancelled'],
  failed: ['bad', 'cross', 'failed'],
};

const VMS: Readonly<Record<EvacuatedVmView['state'], Look>> = {
  waiting: ['calm', 'ring', 'waiting'],
  running: ['active', 'arrow', 'on its way'],
  arrived: ['good', 'check', 'arrived'],
  failed: ['warn', 'cross', 'failed, tried again'],
  parked: ['bad', 'half', 'given up'],
  stayed: ['warn', 'square', 'stayed'],
  left: ['warn', 'arrow', 'left on its way'],
};

export function EvacuationChip({ evacuation }: { evacuation: EvacuationView }): React.JSX.Element {
  const isCancelling = evacuation.isCancelling && evacuation.endedAtMs === null;
  const look = EVACUATIONS[evacuation.state];
  return <LookChip look={isCancelling ? ['warn', look[1], 'being cancelled'] : look} />;
}

export function EvacuatedVmChip({ state }: { state: EvacuatedVmView['state'] }): React.JSX.Element {
  return <LookChip look={VMS[state]} />;
}
