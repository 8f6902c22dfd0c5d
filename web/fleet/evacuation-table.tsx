/** Evacuations in rows: who asked, how far, predicted and actual. */
import type { EvacuationView } from '../../src/api/evacuation-schema.ts';
import { useNow } from '../parts/loaded.ts';
import { ago, durationOrDash } from '../parts/words.ts';
import { linkToFleet } from '../session/route.ts';
import { EvacuationChip } from './evacuation-chip.tsx';

const INITIATORS: Readonly<Record<EvacuationView['initiator'], string>> = {
  person: 'a person',
  maintenance: 'maintenance',
  balancer: 'the balancer',
  newHost: 'a new host',
};

export function EvacuationTable({ evacuations }: { evacuations: readonly EvacuationView[] }): React.JSX.Element {
  const now = useNow(5_000);
  return (
    <table className="rows">
      <thead>
        <tr>
          <th>From</th>
          <th>State</th>
          <th className="number">VMs there</th>
          <th className="number">Predicted</th>
          <th className="number">Took</th>
          <th>Asked by</th>
          <th className="number">When</th>
        </tr>
      </thead>
      <tbody>
        {evacuations.map((evacuation) => {
          const { id, from, to, vms, predictedMs, startedAtMs, endedAtMs, initiator, by, requestedAtMs } = evacuation;
          const arrived = vms.filter(({ state }) => state === 'arrived').length;
          return (
            <tr key={id}>
              <th scope="row">
                <a href={linkToFleet('evacuations', id)}>{from}</a>
                <span className="soft">{to === null ? '' : ` to ${to}`}</span>
              </th>
              <td data-label="State">
                <EvacuationChip evacuation={evacuation} />
              </td>
              <td data-label="VMs there" className="number">
                {arrived} of {vms.length}
              </td>
              <td data-label="Predicted" className="number">
                {durationOrDash(predictedMs)}
              </td>
              <td data-label="Took" className="number">
                {startedAtMs === null ? '–' : durationOrDash((endedAtMs ?? now) - startedAtMs)}
              </td>
              <td data-label="Asked by">
                {INITIATORS[initiator]}
                {by === null ? '' : ` (${by})`}
              </td>
              <td data-label="When" className="number soft">
                {ago(requestedAtMs, now)}
              </td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}
