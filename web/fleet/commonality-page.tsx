/** How much of their memory each two VMs have in common: as a matrix, and the pairs most alike as a list. */
import { useState } from 'react';
import type { CommonPairView } from '../../src/api/fleet-plan-schema.ts';
import { formatSize } from '../../src/base/units.ts';
import { SelectField } from '../parts/field.tsx';
import { useLoaded } from '../parts/loaded.ts';
import { ErrorNotice } from '../parts/notice.tsx';
import { PageHead, Panel } from '../parts/panel.tsx';
import { useFleetCalls, useFleetState } from '../session/fleet-context.ts';
import { CommonMatrix } from './common-matrix.tsx';
import { grainPairs } from './grain-pairs.ts';

const ALL = '';
const MOST_PAIRS = 20;

/** `fleet`: whole pages, by what the controller has of all hosts; else blocks of so many bytes, looked through by the host itself. */
const GRAINS = [
  { value: 'fleet', text: 'whole pages' },
  { value: '1024', text: 'blocks of 1 KiB' },
  { value: '64', text: 'lines of 64 bytes' },
] as const;
type Grain = (typeof GRAINS)[number]['value'];

export function CommonalityPage(): React.JSX.Element {
  const calls = useFleetCalls();
  const { hosts } = useFleetState();
  const [host, setHost] = useState(ALL);
  const [chosen, setGrain] = useState<Grain>('fleet');
  const grain = host === ALL ? 'fleet' : chosen;
  const ask = async (): Promise<readonly CommonPairView[]> => {
    if (grain === 'fleet') return await calls.commonality(host === ALL ? undefined : host);
    return grainPairs(await calls.hostCommonality(host, false), Number(grain));
  };
  const { value, error } = useLoaded(ask, `alike ${host} ${grain}`);
  return (
    <>
      <PageHead
        title="What VMs have in common"
        lead="What two VMs have in common crosses once when they go to the same host. The planner groups VMs by this."
      />
      <div className="fields" style={{ maxWidth: 560 }}>
        <SelectField
          label="VMs of"
          value={host}
          onChange={setHost}
          options={[{ value: ALL, text: 'all hosts' }, ...hosts.map(({ name }) => ({ value: name, text: name }))]}
        />
        {host === ALL ? null : (
          <SelectField
            label="Compared in"
            value={grain}
            onChange={setGrain}
            options={GRAINS}
            hint="Migrations send whole pages once; smaller blocks say how alike memory is within pages."
          />
        )}
      </div>
      {error === undefined ? null : <ErrorNotice error={error} />}
      {value === undefined ? (
        error === undefined ? (
          <p className="soft">Comparing…</p>
        ) : null
      ) : value.length === 0 ? (
        <Panel title="Not known">
          <p className="empty">
            There are no two VMs whose contents are known. Hosts look through their VMs only with the same{' '}
            <code>fleetKeyFile</code> (godwit host --fleet-key-file), and need a few minutes for it.
          </p>
        </Panel>
      ) : (
        <>
          <CommonMatrix pairs={value} />
          <Pairs pairs={value.slice(0, MOST_PAIRS)} />
        </>
      )}
    </>
  );
}

function Pairs({ pairs }: { pairs: readonly CommonPairView[] }): React.JSX.Element {
  return (
    <Panel title="Most alike" flush>
      <table className="rows">
        <thead>
          <tr>
            <th>VMs</th>
            <th className="number">In common</th>
            <th className="number">Of the smaller one</th>
          </tr>
        </thead>
        <tbody>
          {pairs.map(({ a, b, commonBytes, standardErrorBytes, part }) => (
            <tr key={`${a} ${b}`}>
              <th scope="row">
                {a} and {b}
              </th>
              <td data-label="In common" className="number">
                {formatSize(commonBytes)} <span className="soft">± {formatSize(standardErrorBytes)}</span>
              </td>
              <td data-label="Of the smaller one" className="number">
                {Math.round(100 * part)} %
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Panel>
  );
}
