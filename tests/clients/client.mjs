// SPDX-License-Identifier: Apache-2.0
// The node package openai against the server at argv[2]: vectors of argv[4] by the model argv[3], as
// JSON. Run where node_modules has it.
import OpenAI from "openai";

const [url, model, texts] = process.argv.slice(2);
const client = new OpenAI({ baseURL: url + "/v1", apiKey: "none", maxRetries: 0 });
const input = JSON.parse(texts);
const said = {};
// Without encoding_format it asks for base64 and decodes it.
said.plain = (await client.embeddings.create({ model, input })).data.map((d) => d.embedding);
said.float = (await client.embeddings.create({ model, input, encoding_format: "float" }))
  .data.map((d) => d.embedding);
said.models = [];
for await (const entry of client.models.list()) said.models.push(entry.id);
try {
  await client.embeddings.create({ model: "nobody", input });
} catch (error) {
  said.refused = { status: error.status, code: error.code, param: error.param };
}
console.log(JSON.stringify(said));
