package ai.edgekit.demo.runtime;

import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;

/**
 * A `.tflite` file that carries its spec: the twin of edgekit/runtime/modelfile.py, which describes the layout.
 * A damaged or hostile file gives a ModelFileException before TensorFlow Lite sees it.
 */
public final class ModelFile {
    static final String ENTRY = "EDGEKIT_SPEC";
    private static final byte[] MAGIC = {'E', 'D', 'G', 'E', 'K', 'I', 'T', 1};
    private static final int MAX_METADATA = 1000;
    private static final int MAX_NAME = 1000;

    // Fields of the tables Model, SubGraph, Tensor, Metadata and Buffer in TFLite's schema.fbs.
    private static final int MODEL_SUBGRAPHS = 2;
    private static final int MODEL_BUFFERS = 4;
    private static final int MODEL_METADATA = 6;
    private static final int SUBGRAPH_TENSORS = 0;
    private static final int SUBGRAPH_INPUTS = 1;
    private static final int SUBGRAPH_OPERATORS = 3;
    private static final int TENSOR_SHAPE = 0;
    private static final int TENSOR_SHAPE_SIGNATURE = 7;
    private static final int METADATA_NAME = 0;
    private static final int METADATA_BUFFER = 1;
    private static final int BUFFER_DATA = 0;
    private static final int BUFFER_OFFSET = 1;
    private static final int BUFFER_SIZE = 2;

    public final Spec spec;

    /** SHA-256 of the model without its spec, in lower-case hexadecimal. */
    public final String digest;

    /** How many nodes (operators) the graph has. */
    public final int nodes;

    /** The whole file, for the interpreter: direct or mapped, in native order. Leave its position alone. */
    public final ByteBuffer data;

    private ModelFile(Spec spec, String digest, int nodes, ByteBuffer data) {
        this.spec = spec;
        this.digest = digest;
        this.nodes = nodes;
        this.data = data;
    }

    /**
     * Reads the spec and the digest; keeps `file` itself when it is direct or mapped, else a copy.
     *
     * @throws ModelFileException it is no `.tflite` file, damaged, or its spec is missing, invalid or of another model
     */
    public static ModelFile read(ByteBuffer file) throws ModelFileException {
        ByteBuffer data = file.isDirect() ? file.duplicate() : copy(file);
        ((Buffer) data).clear();
        data.order(ByteOrder.nativeOrder());
        if (data.limit() < 8 || data.get(4) != 'T' || data.get(5) != 'F' || data.get(6) != 'L' || data.get(7) != '3') {
            throw new ModelFileException("This is no .tflite file.");
        }
        FlatBuffer flat = new FlatBuffer(data);
        byte[] document;
        String digest;
        int nodes;
        int[] shape;
        try {
            document = document(flat);
            digest = sha256(body(flat, data));
            long graph = graph(flat);
            nodes = flat.count(flat.reference(graph, SUBGRAPH_OPERATORS), 4);
            shape = inputShape(flat, graph);
        } catch (IndexOutOfBoundsException | CharacterCodingException error) {
            throw new ModelFileException("This is a damaged .tflite file: its tables point outside of it.");
        }
        if (document == null) {
            throw new SpecException("The model carries no edgekit spec, so nothing says how to feed it.");
        }
        Spec spec = Spec.parse(document);
        checkInput(spec.input, shape);
        return new ModelFile(spec, digest, nodes, data);
    }

    /** `pass`, `fail` or `inconclusive`; `stale` when the verdict is about another model; `none` without one. */
    public String verdict() {
        if (spec.verdict == null) {
            return "none";
        }
        return spec.verdict.modelSha256.equals(digest) ? spec.verdict.outcome : "stale";
    }

    static String sha256(ByteBuffer bytes) {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            digest.update(bytes);
            StringBuilder hexadecimal = new StringBuilder(64);
            for (byte part : digest.digest()) {
                hexadecimal.append(Character.forDigit(part >> 4 & 15, 16)).append(Character.forDigit(part & 15, 16));
            }
            return hexadecimal.toString();
        } catch (NoSuchAlgorithmException error) {
            throw new AssertionError(error); // every Java and every Android has it
        }
    }

    private static ByteBuffer copy(ByteBuffer file) {
        ByteBuffer source = file.duplicate();
        ((Buffer) source).clear();
        return ByteBuffer.allocateDirect(source.limit()).put(source);
    }

    /** The model's own flatbuffer inside of a file that edgekit wrote; otherwise the whole file. */
    private static ByteBuffer body(FlatBuffer flat, ByteBuffer data) throws ModelFileException {
        boolean written = data.limit() >= 8 + MAGIC.length;
        for (int i = 0; written && i < MAGIC.length; i++) {
            written = data.get(8 + i) == MAGIC[i];
        }
        if (!written) {
            return flat.slice(0, data.limit());
        }
        ByteBuffer header = flat.slice(16, 16).order(ByteOrder.LITTLE_ENDIAN);
        long start = header.getLong(0);
        ByteBuffer body = flat.slice(start, header.getLong(8));
        if (start < 32 || flat.u32(start + 4) != 0x334C4654L) {
            throw new ModelFileException("The .tflite file is damaged: its header points outside of it.");
        }
        return body;
    }

    /** The content of the metadata buffer with the spec, or null. All entries are checked, as in Python. */
    private static byte[] document(FlatBuffer flat) throws ModelFileException, CharacterCodingException {
        long root = flat.root();
        long buffers = flat.reference(root, MODEL_BUFFERS);
        long entries = flat.reference(root, MODEL_METADATA);
        int bufferCount = flat.count(buffers, 4);
        int entryCount = flat.count(entries, 4);
        if (entryCount > MAX_METADATA) {
            throw new ModelFileException("The file has " + entryCount + " metadata entries; no model does.");
        }
        ByteBuffer found = null;
        for (int i = 0; i < entryCount; i++) {
            long entry = flat.table(entries, i);
            ByteBuffer name = flat.bytes(entry, METADATA_NAME);
            if (name.limit() > MAX_NAME) {
                throw new ModelFileException("A metadata entry has a name of " + name.limit() + " bytes.");
            }
            String title = StandardCharsets.UTF_8.newDecoder().decode(name).toString();
            long index = flat.number(entry, METADATA_BUFFER);
            if (index >= bufferCount) {
                throw new ModelFileException("A metadata entry names a buffer that is not there.");
            }
            ByteBuffer content = content(flat, flat.table(buffers, (int) index));
            found = title.equals(ENTRY) ? content : found;
        }
        if (found == null) {
            return null;
        }
        byte[] document = new byte[Math.min(found.limit(), Spec.MAX_JSON_BYTES + 1)];
        found.get(document);
        return document;
    }

    /** A TFLite Buffer's content, which lies inside of the flatbuffer or after it. */
    private static ByteBuffer content(FlatBuffer flat, long buffer) {
        long offset = flat.longNumber(buffer, BUFFER_OFFSET);
        long size = flat.longNumber(buffer, BUFFER_SIZE);
        if (offset < 0 || offset > 1) {
            return flat.slice(offset, size);
        }
        return flat.bytes(buffer, BUFFER_DATA);
    }

    /** The first graph, which is the one that runs. */
    private static long graph(FlatBuffer flat) {
        long graphs = flat.reference(flat.root(), MODEL_SUBGRAPHS);
        if (flat.count(graphs, 4) == 0) {
            throw new IndexOutOfBoundsException();
        }
        return flat.table(graphs, 0);
    }

    /** The shape of the graph's only input, with -1 for sides that are left open; null when it has none or several. */
    private static int[] inputShape(FlatBuffer flat, long graph) {
        long tensors = flat.reference(graph, SUBGRAPH_TENSORS);
        long inputs = flat.reference(graph, SUBGRAPH_INPUTS);
        if (flat.count(inputs, 4) != 1) {
            return null;
        }
        long index = flat.u32(inputs + 4);
        if (index >= flat.count(tensors, 4)) {
            throw new IndexOutOfBoundsException();
        }
        long tensor = flat.table(tensors, (int) index);
        long shape = flat.reference(tensor, TENSOR_SHAPE_SIGNATURE);
        if (flat.count(shape, 4) == 0) {
            shape = flat.reference(tensor, TENSOR_SHAPE);
        }
        int[] sides = new int[Math.min(flat.count(shape, 4), 8)];
        for (int i = 0; i < sides.length; i++) {
            sides[i] = (int) flat.u32(shape + 4 + 4 * i);
        }
        return sides;
    }

    /** Refuses a model that claims another input than its spec before the interpreter allocates memory for it. */
    private static void checkInput(Spec.Input input, int[] shape) throws SpecException {
        boolean nchw = input.layout.equals("NCHW");
        if (shape == null || shape.length != 4
                || !fits(shape[0], 1)
                || !fits(shape[nchw ? 1 : 3], input.channels)
                || !fits(shape[nchw ? 2 : 1], input.height)
                || !fits(shape[nchw ? 3 : 2], input.width)) {
            throw new SpecException("The spec does not fit the model: it describes an input of " + input.width + "×"
                    + input.height + " pixels and " + input.channels + " channels (" + input.layout + ").");
        }
    }

    private static boolean fits(int side, int wanted) {
        return side == -1 || side == wanted;
    }
}
