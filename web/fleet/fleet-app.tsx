/** The pages of a fleet, as its controller knows it; those of one host are the host's own, by way of the controller. */
import { useEffect, useState } from 'react';
import { HostPages, HostSession } from '../host-app.tsx';
import { Frame, Lost } from '../parts/frame.tsx';
import { PageHead } from '../parts/panel.tsx';
import { FleetContext, useFleetState } from '../session/fleet-context.ts';
import { FleetStore } from '../session/fleet-store.ts';
import { linkToFleet, linkToHost, useRoute } from '../session/route.ts';
import { BalancePage } from './balance-page.tsx';
import { CommonalityPage } from './commonality-page.tsx';
import { EvacuatePage } from './evacuate-page.tsx';
import { EvacuationPage } from './evacuation-page.tsx';
import { EvacuationsPage } from './evacuations-page.tsx';
import { FleetPage } from './fleet-page.tsx';
import { MaintenancePage } from './maintenance-page.tsx';

export function FleetApp({ base, signOut }: { base: string; signOut: () => void }): React.JSX.Element {
  const [store] = useState(() => new FleetStore(base));
  useEffect(() => {
    store.start();
    return () => store.stop();
  }, [store]);
  return (
    <FleetContext value={store}>
      <FleetFrame base={base} signOut={signOut} />
    </FleetContext>
  );
}

function FleetFrame({ base, signOut }: { base: string; signOut: () => void }): React.JSX.Element {
  const { link, problem, controller, isKnown } = useFleetState();
  const route = useRoute();
  const place = route[0] ?? '';
  const pages = [
    { href: linkToFleet(), text: 'Fleet', isHere: ['', 'hosts', 'maintenance'].includes(place) },
    { href: linkToFleet('evacuations'), text: 'Evacuations', isHere: ['evacuations', 'evacuate'].includes(place) },
    { href: linkToFleet('balance'), text: 'Balance', isHere: place === 'balance' },
    { href: linkToFleet('alike'), text: 'In common', isHere: place === 'alike' },
  ];
  return (
    <Frame link={link} name={controller?.name ?? 'fleet'} pages={pages} signOut={signOut}>
      {link === 'lost' || link === 'denied' ? <Lost problem={problem} isNew={!isKnown} /> : null}
      {isKnown ? (
        <Page base={base} route={route} />
      ) : link === 'connecting' ? (
        <p className="soft">Asking the controller…</p>
      ) : null}
    </Frame>
  );
}

function Page({ base, route }: { base: string; route: readonly string[] }): React.JSX.Element {
  const [place, name] = route;
  if (place === undefined) return <FleetPage />;
  if (place === 'hosts' && name !== undefined) {
    return (
      <HostSession key={name} base={new URL(`v1/hosts/${encodeURIComponent(name)}/api/`, base).href}>
        <nav className="crumbs" aria-label="Host">
          <a href={linkToFleet()}>Fleet</a> › <a href={linkToHost(name)}>{name}</a> ›{' '}
          <a href={linkToHost(name, 'migrations')}>its migrations</a>
        </nav>
        <HostPages route={route.slice(2)} />
      </HostSession>
    );
  }
  if (place === 'evacuate' && name !== undefined) return <EvacuatePage key={name} host={name} />;
  if (place === 'maintenance' && name !== undefined) return <MaintenancePage key={name} host={name} />;
  if (place === 'evacuations' && name !== undefined) return <EvacuationPage key={name} id={name} />;
  if (place === 'evacuations') return <EvacuationsPage />;
  if (place === 'balance') return <BalancePage />;
  if (place === 'alike') return <CommonalityPage />;
  return (
    <>
      <PageHead title="There is no such page" />
      <p>
        <a href={linkToFleet()}>Go to the fleet</a>
      </p>
    </>
  );
}
