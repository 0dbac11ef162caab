import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import org.objectweb.asm.ClassReader;
import org.objectweb.asm.ClassVisitor;
import org.objectweb.asm.FieldVisitor;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;

/**
 * Does every member of Android's framework that an application uses exist in one version of the platform? A method that
 * asks for the version (Build.VERSION.SDK_INT) may use newer ones.
 *
 * <p>Arguments: the platform's android-all.jar, and the application's jar. java.* is looked up in the running JDK.
 */
public final class ApiCheck {
    private static final int ASM = Opcodes.ASM9;

    /** What a class declares, and where it inherits from. */
    private static final class Declared {
        final Set<String> members = new HashSet<>();
        final List<String> parents = new ArrayList<>();
    }

    private final JarFile platform;
    private final Map<String, byte[]> application = new HashMap<>();
    private final Map<String, Declared> known = new HashMap<>();
    private final Set<String> used = new TreeSet<>();
    private final Set<String> missing = new TreeSet<>();

    private ApiCheck(String platform, String application) throws IOException {
        this.platform = new JarFile(platform);
        try (JarFile jar = new JarFile(application)) {
            for (JarEntry entry : Collections.list(jar.entries())) {
                if (entry.getName().endsWith(".class")) {
                    String name = entry.getName().substring(0, entry.getName().length() - ".class".length());
                    this.application.put(name, jar.getInputStream(entry).readAllBytes());
                }
            }
        }
    }

    public static void main(String[] arguments) throws IOException {
        ApiCheck check = new ApiCheck(arguments[0], arguments[1]);
        for (byte[] content : check.application.values()) {
            check.visit(content);
        }
        System.out.println(check.used.size() + " members used, missing: " + check.missing.size());
        check.missing.forEach(System.out::println);
        System.exit(check.missing.isEmpty() ? 0 : 1);
    }

    private void visit(byte[] content) {
        new ClassReader(content).accept(new ClassVisitor(ASM) {
            private String owner;

            @Override
            public void visit(int version, int access, String name, String signature, String parent, String[] more) {
                owner = name;
            }

            @Override
            public MethodVisitor visitMethod(int access, String name, String type, String signature, String[] thrown) {
                String where = owner + "." + name;
                return new MethodVisitor(ASM) {
                    private final List<String> newer = new ArrayList<>();
                    private boolean asksForVersion;

                    @Override
                    public void visitMethodInsn(int code, String of, String called, String as, boolean isInterface) {
                        uses(of, called + as);
                    }

                    @Override
                    public void visitFieldInsn(int code, String of, String field, String as) {
                        asksForVersion |= field.equals("SDK_INT");
                        uses(of, field + ":" + as);
                    }

                    @Override
                    public void visitEnd() {
                        if (!asksForVersion) {
                            missing.addAll(newer);
                        }
                    }

                    private void uses(String of, String member) {
                        if (!of.startsWith("[")) {
                            if (!application.containsKey(of)) {
                                used.add(of + "." + member);
                            }
                            if (!has(of, member)) {
                                newer.add(of + "." + member + "  in " + where);
                            }
                        }
                    }
                };
            }
        }, 0);
    }

    private boolean has(String owner, String member) {
        Declared declared = declared(owner);
        return declared != null && (declared.members.contains(member)
                || declared.parents.stream().anyMatch(parent -> has(parent, member)));
    }

    private Declared declared(String name) {
        if (!known.containsKey(name)) {
            try {
                known.put(name, read(name));
            } catch (IOException e) {
                throw new IllegalStateException(e);
            }
        }
        return known.get(name);
    }

    private Declared read(String name) throws IOException {
        if (application.containsKey(name)) {
            return read(application.get(name), true);
        }
        JarEntry entry = platform.getJarEntry(name + ".class");
        if (entry != null) {
            return read(platform.getInputStream(entry).readAllBytes(), false);
        }
        if (!name.startsWith("java/") && !name.startsWith("javax/")) {
            return null;
        }
        try (InputStream stream = ClassLoader.getSystemResourceAsStream(name + ".class")) {
            return stream == null ? null : read(stream.readAllBytes(), false);
        }
    }

    private static Declared read(byte[] content, boolean hidden) {
        Declared declared = new Declared();
        new ClassReader(content).accept(new ClassVisitor(ASM) {
            @Override
            public void visit(int version, int access, String name, String signature, String parent, String[] more) {
                if (parent != null) {
                    declared.parents.add(parent);
                }
                declared.parents.addAll(Arrays.asList(more));
            }

            @Override
            public MethodVisitor visitMethod(int access, String name, String type, String signature, String[] thrown) {
                if (hidden || (access & (Opcodes.ACC_PUBLIC | Opcodes.ACC_PROTECTED)) != 0) {
                    declared.members.add(name + type);
                }
                return null;
            }

            @Override
            public FieldVisitor visitField(int access, String name, String type, String signature, Object value) {
                declared.members.add(name + ":" + type);
                return null;
            }
        }, ClassReader.SKIP_CODE);
        return declared;
    }
}
