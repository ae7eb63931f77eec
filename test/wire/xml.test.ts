import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { asSealiftError } from "../../src/core/error.ts";
import { child, childText, parseXml, type XmlElement } from "../../src/wire/xml.ts";

const escape = (text: string): string =>
  text.replaceAll(/[<>&"'\p{Cc}]/gu, (c) => (c === "<" ? "&lt;" : `&#x${c.charCodeAt(0).toString(16)};`));

const write = (element: XmlElement, gap: string): string =>
  element.children.length === 0
    ? `<${element.name}>${escape(element.text)}</${element.name}>`
    : `<${element.name} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${gap}${element.children
        .map((one) => write(one, gap))
        .join(gap)}${gap}</${element.name}>`;

const name = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_.:-]{0,8}$/);
const text = fc.string({ unit: "grapheme", maxLength: 12 }).filter((value) => !/[\0\p{Surrogate}]/u.test(value));
const { tree } = fc.letrec<{ tree: XmlElement }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 4 },
    fc.record({ name, text, children: fc.constant<XmlElement[]>([]) }),
    fc.record({ name, text: fc.constant(""), children: fc.array(tie("tree"), { maxLength: 4 }) }),
  ),
}));

const codeOf = (document: string): string => {
  try {
    parseXml(document);
    return "read";
  } catch (error) {
    return asSealiftError(error).code;
  }
};

describe("XML", () => {
  it("is read as it was written", () => {
    fc.assert(
      fc.property(tree, fc.constantFrom("", "\n  ", "<!-- a -->"), (element, gap) => {
        const document = `<?xml version="1.0" encoding="UTF-8"?>\n${write(element, gap)}\n`;
        expect(parseXml(document)).toEqual(element);
      }),
    );
  });

  it("that is cut anywhere is not read", () => {
    fc.assert(
      fc.property(tree, fc.nat(), (element, at) => {
        const document = write(element, "\n");
        expect(codeOf(document.slice(0, at % document.length))).toBe("PROVIDER_ERROR");
      }),
    );
  });

  it("never throws anything but PROVIDER_ERROR, whatever it is given", () => {
    const noise = fc.array(
      fc.constantFrom(
        "<",
        ">",
        "/",
        "a",
        "</a>",
        "<a>",
        "<a/>",
        "&",
        ";",
        "&#x",
        "&lt;",
        "<!",
        "--",
        "<?",
        '"',
        "=",
        " ",
      ),
      { maxLength: 30 },
    );
    fc.assert(
      fc.property(
        fc.oneof(
          noise.map((parts) => parts.join("")),
          fc.string(),
        ),
        (document) => {
          expect(["read", "PROVIDER_ERROR"]).toContain(codeOf(document));
        },
      ),
      { numRuns: 2000 },
    );
  });

  it.each([
    ["nothing", ""],
    ["HTML", "<!DOCTYPE html><html><body><p>Login</p></body></html>"],
    ["HTML without a type", "<html><body><br>Login</body></html>"],
    ["a DOCTYPE", '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'],
    ["an own entity", "<a>&b;</a>"],
    ["an inherited name as an entity", "<a>&constructor;</a>"],
    ["a bare ampersand", "<a>b & c</a>"],
    ["a NUL", "<a>&#0;</a>"],
    ["half a surrogate pair", "<a>&#xD800;</a>"],
    ["a number beyond Unicode", "<a>&#x110000;</a>"],
    ["CDATA", "<a><![CDATA[b]]></a>"],
    ["a processing instruction", "<a><?php ?></a>"],
    ["crossed tags", "<a><b></a></b>"],
    ["two roots", "<a></a><b></b>"],
    ["text after the root", "<a></a>b"],
    ["text before the root", "b<a></a>"],
    ["text between elements", "<a><b></b>c</a>"],
    ["text before an element", "<a>c<b></b></a>"],
    ["an attribute without quotes", "<a b=c></a>"],
    ["an attribute with a tag", '<a b="<c>"></a>'],
    ["an open comment", "<a></a><!-- "],
    ["a control character", "<a>\u0001</a>"],
    ["deep nesting", "<a>".repeat(50) + "</a>".repeat(50)],
    ["too many elements", `<a>${"<b/>".repeat(250_000)}</a>`],
  ])("refuses %s", (_, document) => expect(codeOf(document)).toBe("PROVIDER_ERROR"));

  it("finds children by name", () => {
    const root = parseXml('\ufeff<?xml version="1.0"?><a x="1" y=\'2\'><b>1 &amp; &#x2;</b><c/><b>3</b></a>');
    expect(childText(root, "b")).toBe("1 & \u0002");
    expect(childText(root, "c")).toBe("");
    expect(child(root, "d")).toBeUndefined();
  });
});
