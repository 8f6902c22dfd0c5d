/** All routes of a host's API. */
import { addEventRoutes } from './event-routes.ts';
import { addGroupMigrationRoutes } from './group-migration-routes.ts';
import { addGroupRoutes } from './group-routes.ts';
import { addHostRoutes } from './host-routes.ts';
import { addLeaderRoutes } from './leader-routes.ts';
import { addMigrationRoutes } from './migration-routes.ts';
import type { Routes } from './routes.ts';
import type { HostService } from './service.ts';
import { addVmRoutes } from './vm-routes.ts';

export function addHostApiRoutes(routes: Routes, service: HostService): void {
  addHostRoutes(routes, service);
  addLeaderRoutes(routes, service);
  addVmRoutes(routes, service);
  addGroupRoutes(routes, service);
  addGroupMigrationRoutes(routes, service);
  addMigrationRoutes(routes, service);
  addEventRoutes(routes, service);
}
