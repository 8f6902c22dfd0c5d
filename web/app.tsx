/**
 * The whole page: finds out whom it talks to, asks for a token where one is wanted, and shows a host or a fleet.
 */
import { useState } from 'react';
import { FleetApp } from './fleet/fleet-app.tsx';
import { HostApp } from './host-app.tsx';
import { SignInPage } from './pages/sign-in-page.tsx';
import { Frame, Lost } from './parts/frame.tsx';
import { keepAccessToken } from './session/access-token.ts';
import { useServerKind } from './session/server-kind.ts';

export function App({ base }: { base: string }): React.JSX.Element {
  const [turn, setTurn] = useState(0);
  const server = useServerKind(base, turn);
  const signIn = (token: string | null): void => {
    keepAccessToken(token);
    setTurn((before) => before + 1);
  };
  switch (server.kind) {
    case 'host':
      return <HostApp key={turn} base={base} signOut={() => signIn(null)} />;
    case 'fleet':
      return <FleetApp key={turn} base={base} signOut={() => signIn(null)} />;
    case 'denied':
      return (
        <Frame link="denied" name="" pages={[]} signOut={null}>
          <SignInPage problem={server.problem} signIn={signIn} />
        </Frame>
      );
    case 'lost':
      return (
        <Frame link="lost" name="" pages={[]} signOut={null}>
          <Lost problem={server.problem} isNew />
        </Frame>
      );
    case 'asking':
      return (
        <Frame link="connecting" name="" pages={[]} signOut={null}>
          <p className="soft">Asking the host…</p>
        </Frame>
      );
  }
}
