/** Where the dashboard begins: the theme before the first paint, then the page. */
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './app.tsx';
import { applyTheme } from './session/theme.ts';
import './style/tokens.css';
import './style/page.css';
import './style/panels.css';
import './style/controls.css';
import './style/charts.css';
import './style/fleet.css';

applyTheme();
const root = document.getElementById('root');
if (root === null) throw new Error('index.html has no element with the id root');
createRoot(root).render(
  <StrictMode>
    <App base={document.baseURI} />
  </StrictMode>,
);
