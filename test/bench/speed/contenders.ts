/** Who is measured. */
import {
  awsList,
  type Peer,
  RCLONE_AGAIN,
  RCLONE_PLAIN,
  RCLONE_TUNED,
  rclone,
  rcloneList,
  s5cmdList,
} from "./peers.ts";
import { type Contender, ownProgram, type Route, sealift, type Task } from "./tasks.ts";

export interface Choice {
  readonly peers: readonly Peer[];
  readonly profile?: string | undefined;
}

const suffix = (route: Route): string => (route === "s3" ? "" : "-gcs");

/** By name; peers that are not there have none. */
export function contendersOf({ peers, profile }: Choice): ReadonlyMap<string, Contender> {
  const binary = (name: string) => peers.find((peer) => peer.name === name)?.binary;
  const all = [...own(profile), ...rclones(binary("rclone")), ...listers(binary)];
  return new Map(all.map((contender) => [contender.name, contender]));
}

function own(profile: string | undefined): Contender[] {
  const routes: readonly Route[] = ["s3", "gcs"];
  const moving = routes.flatMap((route): Contender[] => {
    const as = (fallback?: "copy" | "seal") => (task: Task) =>
      sealift(task, { route, profile, ...(fallback && { fallback }) });
    return [
      { name: `rewrap${suffix(route)}`, route, command: as(), arrives: "rewrapped", opened: true },
      { name: `carry${suffix(route)}`, route, command: as("copy"), arrives: "same" },
      { name: `reseal${suffix(route)}`, route, command: as("seal"), arrives: "resealed", opened: true },
    ];
  });
  const withWorkers = [1, 2, 4].map((workers): Contender => {
    const command = (task: Task) => sealift(task, { route: "s3", profile, workers });
    return { name: `rewrap-${workers}-workers`, route: "s3", command, arrives: "rewrapped" };
  });
  const again = (task: Task) => sealift(task, { route: "s3", profile });
  const small = (name: string, arrives: Contender["arrives"], concurrency?: number): Contender => ({
    name,
    route: "s3",
    command: (task) => ownProgram(name, task, concurrency),
    arrives,
  });
  return [
    ...moving,
    ...withWorkers,
    { name: "second-run", route: "s3", before: again, command: again, arrives: "rewrapped" },
    small("naive", "rewrapped"),
    small("floor", "rewrapped"),
    small("pipe", "bytes", 4),
    small("list", undefined),
  ];
}

function rclones(binary: string | undefined): Contender[] {
  if (binary === undefined) return [];
  const with_ = (name: string, route: Route, flags: readonly string[], arrives: Contender["arrives"]): Contender => ({
    name,
    route,
    command: (task) => rclone(task, binary, route, flags),
    arrives,
  });
  const first = (task: Task) => rclone(task, binary, "s3", RCLONE_TUNED);
  return [
    with_("rclone", "s3", RCLONE_TUNED, "same"),
    with_("rclone-gcs", "gcs", RCLONE_TUNED, "bytes"),
    with_("rclone-untuned", "s3", RCLONE_PLAIN, "same"),
    { ...with_("rclone-second-run", "s3", RCLONE_AGAIN, "same"), before: first },
    { name: "rclone-list", route: "s3", command: (task) => rcloneList(task, binary), arrives: undefined },
  ];
}

function listers(binary: (name: string) => string | undefined): Contender[] {
  const found: Contender[] = [];
  for (const [name, list] of [
    ["aws", awsList],
    ["s5cmd", s5cmdList],
  ] as const) {
    const there = binary(name);
    if (there !== undefined) {
      found.push({ name: `${name}-list`, route: "s3", command: (task) => list(task, there), arrives: undefined });
    }
  }
  return found;
}
