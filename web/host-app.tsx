/** The pages of one host: of a lone one, or of one of a fleet, whose API the controller passes on. */
import { useEffect, useState } from 'react';
import { MigrateGroupPage } from './pages/migrate-group-page.tsx';
import { MigratePage } from './pages/migrate-page.tsx';
import { MigrationPage } from './pages/migration-page.tsx';
import { MigrationsPage } from './pages/migrations-page.tsx';
import { OverviewPage } from './pages/overview-page.tsx';
import { VmPage } from './pages/vm-page.tsx';
import { Frame, Lost } from './parts/frame.tsx';
import { PageHead } from './parts/panel.tsx';
import { HostContext, useHostState } from './session/host-context.ts';
import { HostStore } from './session/host-store.ts';
import { linkTo, useRoute } from './session/route.ts';

export function HostApp({ base, signOut }: { base: string; signOut: () => void }): React.JSX.Element {
  return (
    <HostSession base={base}>
      <LoneHost signOut={signOut} />
    </HostSession>
  );
}

/** Follows a host as long as it is shown. */
export function HostSession({ base, children }: { base: string; children: React.ReactNode }): React.JSX.Element {
  const [store] = useState(() => new HostStore(base));
  useEffect(() => {
    store.start();
    return () => store.stop();
  }, [store]);
  return <HostContext value={store}>{children}</HostContext>;
}

function LoneHost({ signOut }: { signOut: () => void }): React.JSX.Element {
  const { link, host } = useHostState();
  const route = useRoute();
  const place = route[0] ?? '';
  const pages = [
    { href: linkTo(), text: 'Overview', isHere: ['', 'vms', 'groups'].includes(place) },
    { href: linkTo('migrations'), text: 'Migrations', isHere: place === 'migrations' },
  ];
  return (
    <Frame link={link} name={host?.name ?? ''} pages={pages} signOut={signOut}>
      <HostPages route={route} />
    </Frame>
  );
}

/** @param route - within the host */
export function HostPages({ route }: { route: readonly string[] }): React.JSX.Element {
  const { link, problem, host } = useHostState();
  return (
    <>
      {link === 'lost' || link === 'denied' ? <Lost problem={problem} isNew={host === null} /> : null}
      {host !== null ? (
        <HostPage key={route.join('/')} route={route} />
      ) : link === 'connecting' ? (
        <p className="soft">Asking the host…</p>
      ) : null}
    </>
  );
}

function HostPage({ route: [place, name, action] }: { route: readonly string[] }): React.JSX.Element {
  if (place === undefined) return <OverviewPage />;
  if (place === 'migrations' && name === undefined) return <MigrationsPage />;
  if (place === 'migrations' && name !== undefined) return <MigrationPage id={name} />;
  if (place === 'vms' && name !== undefined && action === 'migrate') return <MigratePage name={name} />;
  if (place === 'groups' && name !== undefined && action === 'migrate') return <MigrateGroupPage name={name} />;
  if (place === 'vms' && name !== undefined) return <VmPage name={name} />;
  return (
    <>
      <PageHead title="There is no such page" />
      <p>
        <a href={linkTo()}>Go to the overview</a>
      </p>
    </>
  );
}
