/** How busy hosts are, and which VMs would leave the busy ones; does it when asked. */
import { useState } from 'react';
import type { BalanceView } from '../../src/api/balance-schema.ts';
import { ActionButton } from '../parts/action-button.tsx';
import { useLoaded } from '../parts/loaded.ts';
import { ErrorNotice, ended } from '../parts/notice.tsx';
import { PageHead, Panel } from '../parts/panel.tsx';
import { LookChip } from '../parts/state-chip.tsx';
import { count, percent } from '../parts/words.ts';
import { useFleetCalls } from '../session/fleet-context.ts';
import { goTo, linkToHost } from '../session/route.ts';

const REFRESH_MS = 20_000;

const VERDICTS = {
  busy: ['bad', 'arrow', 'busy'],
  calm: ['good', 'dot', 'calm'],
  between: ['calm', 'ring', 'in between'],
  resting: ['calm', 'half', 'balanced just before'],
  unknown: ['calm', 'ring', 'not known'],
} as const;

export function BalancePage(): React.JSX.Element {
  const calls = useFleetCalls();
  const [error, setError] = useState<unknown>(undefined);
  const look = useLoaded(() => calls.balance({ dryRun: true }), 'balance', REFRESH_MS);
  const balance = look.value;
  const act = async (): Promise<void> => {
    const { evacuations } = await calls.balance({});
    if (evacuations.length === 1) goTo('evacuations', evacuations[0]!);
    else goTo('evacuations');
  };
  return (
    <>
      <PageHead
        title="Balance"
        lead="VMs leave hosts that have been busy for a while, for hosts that have room and time."
      />
      {look.error === undefined ? null : <ErrorNotice error={look.error} />}
      {error === undefined ? null : <ErrorNotice error={error} />}
      {balance === undefined ? null : (
        <>
          <Hosts balance={balance} />
          <Panel
            title={balance.moves.length === 0 ? 'Nothing to move' : `Would move ${count(balance.moves.length, 'VM')}`}
            actions={
              balance.moves.length === 0 ? undefined : (
                <ActionButton look="primary" act={act} onError={setError}>
                  Move {count(balance.moves.length, 'VM')}
                </ActionButton>
              )
            }
          >
            {balance.moves.length === 0 ? (
              <p className="empty">{balance.words.map(ended).join(' ') || 'No host is busy.'}</p>
            ) : (
              <ol className="stack-tight">
                {balance.moves.map(({ vm, from, to, text }) => (
                  <li key={vm}>
                    <b>{vm}</b> from {from} to {to}: {ended(text)}
                  </li>
                ))}
              </ol>
            )}
          </Panel>
        </>
      )}
    </>
  );
}

function Hosts({ balance: { hosts } }: { balance: BalanceView }): React.JSX.Element {
  return (
    <Panel title="Hosts" flush>
      <table className="rows">
        <thead>
          <tr>
            <th>Host</th>
            <th>State</th>
            <th className="number">CPUs busy</th>
            <th className="number">Memory taken</th>
            <th className="number">Load</th>
          </tr>
        </thead>
        <tbody>
          {hosts.map(({ host, verdict, cpuPart, memoryPart, load }) => (
            <tr key={host}>
              <th scope="row">
                <a href={linkToHost(host)}>{host}</a>
              </th>
              <td data-label="State">
                <LookChip look={VERDICTS[verdict]} />
              </td>
              <td data-label="CPUs busy" className="number">
                {cpuPart === null ? '–' : percent(cpuPart, 1)}
              </td>
              <td data-label="Memory taken" className="number">
                {memoryPart === null ? '–' : percent(memoryPart, 1)}
              </td>
              <td data-label="Load" className="number">
                {load === null ? '–' : `${load.toFixed(2)} of 1`}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Panel>
  );
}
